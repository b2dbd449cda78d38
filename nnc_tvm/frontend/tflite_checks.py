"""What a TFLite file must satisfy before anything is computed from it. One check per function; its docstring is the reason."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.shapes import MAX_ELEMENTS, listed
from nnc_tvm.frontend.tflite_file import Operator, Tensor, TfliteModel
from nnc_tvm.schedules.quantization import RANGES

ZERO_POINTS = {**RANGES, "int64": RANGES["int32"]}
MAX_RANK = 8
TINY = float(np.finfo(np.float32).tiny)  # the smallest normal number
CONTRACTIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})


def has_operators(model: TfliteModel) -> None:
    """A model computes something."""
    if not model.operators:
        raise InvalidModel("the graph has no operators; convert the model again")
    if not model.outputs or any(i < 0 for i in (*model.inputs, *model.outputs)):
        raise InvalidModel("the graph has no outputs, or absent tensors among its inputs or outputs; convert the model again")


def one_subgraph(model: TfliteModel) -> None:
    """More subgraphs mean control flow, or several functions in one file."""
    if model.subgraphs > 1:
        raise Unsupported(f"{model.subgraphs} subgraphs; control flow and several signatures in one file cannot be compiled, convert one function alone")


def known_operators(model: TfliteModel) -> None:
    """Custom operators have no definition that could be compiled; all are named at once."""
    unknown = [model.label(op) for op in model.operators if op.code == "CUSTOM" or op.code.startswith("operator code")]
    if unknown:
        raise Unsupported(f"custom or unknown operators: {listed(unknown)}; convert the model with TFLite's builtin operators alone")


def sane_shapes(model: TfliteModel) -> None:
    """Extents are positive and tensors small enough to count their elements in 32 bits."""
    used = {i for op in model.operators for i in (*op.inputs, *op.outputs) if i >= 0} | {*model.inputs, *model.outputs}
    for tensor in (model.tensors[i] for i in sorted(used)):
        if len(tensor.shape) > MAX_RANK:
            raise InvalidModel(f"the tensor '{tensor.label}' has {len(tensor.shape)} dimensions; at most {MAX_RANK} can be compiled")
        if any(d < 0 or (d == 0 and tensor.data is not None) for d in tensor.shape):
            raise InvalidModel(f"the tensor '{tensor.label}' has the shape {list(tensor.shape)}: extents must be positive")
        if np.prod(tensor.shape, dtype=np.float64) >= MAX_ELEMENTS:
            raise InvalidModel(f"the tensor '{tensor.label}' of shape {list(tensor.shape)} has too many elements; at most 2^31 - 1 fit")
    for tensor in (model.tensors[i] for i in model.inputs):
        if any(d == 0 for d in tensor.shape):
            raise InvalidModel(f"the input '{tensor.label}' has the shape {list(tensor.shape)}: extents must be positive")


def static_shapes(model: TfliteModel) -> None:
    """Only the batch may be dynamic, and becomes 1: arenas are planned offline."""
    for tensor in (model.tensors[i] for i in model.inputs):
        if any(d < 0 for d in tensor.signature[1:]):
            raise Unsupported(f"the input '{tensor.label}' has the dynamic shape {list(tensor.signature)}; "
                              "only the batch may be dynamic, convert the model with a fixed input size")


def valid_scales(model: TfliteModel) -> None:
    """Scales are finite and positive, zero points within the dtype; anything else makes every value of the tensor meaningless."""
    for tensor in model.tensors:
        q = tensor.quantization
        if q is None:
            continue
        if tensor.dtype not in ZERO_POINTS:
            raise InvalidModel(f"the tensor '{tensor.label}' has a scale but dtype {tensor.dtype}")
        bad = q.scale.reshape(-1)[~(np.isfinite(q.scale) & (q.scale > 0)).reshape(-1)]
        if bad.size:
            raise InvalidModel(f"the tensor '{tensor.label}' has the scale {bad[0]:g}; scales must be finite and positive, quantize the model again")
        if q.scale.size and q.scale.min() < TINY:
            raise InvalidModel(f"the tensor '{tensor.label}' has the scale {q.scale.min():g}, a subnormal number; quantize the model again")
        low, high = ZERO_POINTS[tensor.dtype]
        if np.any(q.zero_point < low) or np.any(q.zero_point > high):
            raise InvalidModel(f"the tensor '{tensor.label}' has the zero point {int(q.zero_point.reshape(-1)[0])}, outside {tensor.dtype}'s {low}..{high}")
        if not q.per_tensor and not (0 <= q.axis < len(tensor.shape) and tensor.shape[q.axis] == q.scale.size):
            raise InvalidModel(f"the tensor '{tensor.label}' of shape {list(tensor.shape)} has {q.scale.size} scales on axis {q.axis}; give one per channel")


def defined_inputs(model: TfliteModel) -> None:
    """Every tensor is written once, before it is read."""
    written = set(model.inputs)
    for op in model.operators:
        for i in op.inputs:
            tensor = model.tensors[i] if i >= 0 else None
            if tensor is not None and i not in written and tensor.data is None and not tensor.variable and 0 not in tensor.shape:
                raise InvalidModel(f"{model.label(op)} reads the tensor '{tensor.label}', which nothing has written: operators out of order, or a damaged file")
        for i in op.outputs:
            if i < 0 or i in written or model.tensors[i].data is not None:
                raise InvalidModel(f"{model.label(op)} writes the tensor '{model.tensors[i].label}', which already has a value")
            written.add(i)
    for i in model.outputs:
        if i not in written and model.tensors[i].data is None:
            raise InvalidModel(f"the output '{model.tensors[i].label}' is made by no operator")


def finite_weights(model: TfliteModel) -> None:
    """NaN or infinite weights make every output NaN."""
    for op in model.operators:
        if op.code in CONTRACTIONS:
            for tensor in (model.tensors[i] for i in op.inputs if i >= 0):
                if tensor.data is not None and tensor.data.dtype.kind == "f" and not np.isfinite(tensor.data).all():
                    raise InvalidModel(f"the weights '{tensor.label}' hold NaN or infinite values: the training diverged or the file is damaged")


def eight_bit_activations(model: TfliteModel) -> None:
    """Activations are int8, uint8 or float: kernels for 16-bit ones do not exist. Float ones under int8 weights (dynamic-range quantization) are float
    layers whose weights are read back to float."""
    for op in model.operators:
        tensors = [model.tensors[i] for i in (*op.inputs, *op.outputs) if i >= 0]
        wide = next((t for t in tensors if t.dtype == "int16" and t.quantization is not None), None)
        if wide is not None:
            raise Unsupported(f"{model.label(op)}: 16-bit activations ('{wide.label}'); quantize the model to int8")


def contraction_shapes(model: TfliteModel) -> None:
    """The weights of convolutions and dense layers fit their inputs."""
    for op in model.operators:
        if op.code in CONTRACTIONS:
            present = [i for i in op.inputs[:2] if i >= 0]
            if len(present) < 2 or not op.outputs:
                raise InvalidModel(f"{model.label(op)} needs an input, weights and an output")
            x, w = (model.tensors[i] for i in present)
            if not FITS[op.code](x, w, op):
                raise InvalidModel(f"{model.label(op)}: the weights '{w.label}' {list(w.shape)} do not fit the input '{x.label}' {list(x.shape)}")


def _conv_fits(x: Tensor, w: Tensor, op: Operator) -> bool:
    if len(x.shape) != 4 or len(w.shape) != 4 or w.shape[3] == 0 or x.shape[3] % w.shape[3]:
        return False
    return w.shape[0] % (x.shape[3] // w.shape[3]) == 0


def _depthwise_fits(x: Tensor, w: Tensor, op: Operator) -> bool:
    return len(x.shape) == 4 and len(w.shape) == 4 and w.shape[0] == 1 and w.shape[3] % x.shape[3] == 0


def _dense_fits(x: Tensor, w: Tensor, op: Operator) -> bool:
    return len(w.shape) == 2 and w.shape[1] > 0 and int(np.prod(x.shape)) % w.shape[1] == 0


FITS: dict[str, Callable[[Tensor, Tensor, Operator], bool]] = {"CONV_2D": _conv_fits, "DEPTHWISE_CONV_2D": _depthwise_fits, "FULLY_CONNECTED": _dense_fits}
CHECKS: tuple[Callable[[TfliteModel], None], ...] = (
    has_operators, one_subgraph, known_operators, sane_shapes, static_shapes, valid_scales, defined_inputs, contraction_shapes,
    finite_weights, eight_bit_activations,
)


def check_tflite(model: TfliteModel) -> None:
    """Runs every check. Raises InvalidModel or Unsupported by the first that fails."""
    for check in CHECKS:
        check(model)
