"""What the scales and zero points of an ONNX model must satisfy, in every dialect. One check per function; its docstring is the reason."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend.onnx_names import constant_tensors, label, tensors_of

TINY = float(np.finfo(np.float32).tiny)  # the smallest normal float32
# operator -> its inputs that are scales; QLinearConcat has one for its result and one in every three inputs after it
SCALES: dict[str, slice | tuple[int, ...]] = {
    "QuantizeLinear": (1,), "DequantizeLinear": (1,), "QLinearConv": (1, 4, 6), "QLinearMatMul": (1, 4, 6), "QGemm": (1, 4, 7),
    "QLinearAdd": (1, 4, 6), "QLinearMul": (1, 4, 6), "QLinearSigmoid": (1, 3), "QLinearLeakyRelu": (1, 3), "QLinearSoftmax": (1, 3),
    "QLinearAveragePool": (1, 3), "QLinearGlobalAveragePool": (1, 3), "QLinearReduceMean": (1, 3), "QLinearConcat": slice(0, None, 3),
}
RANGES = {
    TensorProto.INT8: (-128, 127), TensorProto.UINT8: (0, 255), TensorProto.INT16: (-(1 << 15), (1 << 15) - 1), TensorProto.UINT16: (0, (1 << 16) - 1),
    TensorProto.BOOL: (0, 1),
}


def scale_inputs(node: onnx.NodeProto) -> list[str]:
    """The names of the node's scales."""
    places = SCALES.get(node.op_type, ())
    names = list(node.input)[places] if isinstance(places, slice) else [node.input[i] for i in places if i < len(node.input)]
    return [name for name in names if name]


def valid_scales(model: onnx.ModelProto) -> None:
    """Scales are finite, positive and no subnormals; anything else would make every value of the tensor NaN, infinite or zero."""
    constants = constant_tensors(model)
    for node in model.graph.node:
        for name in scale_inputs(node):
            if name not in constants:
                continue
            with np.errstate(invalid="ignore"):  # signalling NaNs
                scale = numpy_helper.to_array(constants[name]).astype(np.float64)
            bad = scale[~(np.isfinite(scale) & (scale > 0))].reshape(-1)
            if bad.size:
                raise InvalidModel(f"{label(node)} has the scale {bad[0]:g} ('{name}'); scales must be finite and positive, calibrate the model again")
            if scale.size and scale.min() < TINY:
                raise InvalidModel(f"{label(node)} has the scale {scale.min():g} ('{name}'), a subnormal number whose inverse is infinite; "
                                   "calibrate the model again")


def values_in_range(model: onnx.ModelProto) -> None:
    """Integers written out one by one (zero points among them) lie in their data type's range; others would wrap around."""
    for tensor in tensors_of(model.graph):
        if tensor.data_type not in RANGES or not tensor.int32_data:
            continue
        low, high = RANGES[tensor.data_type]
        outside = next((v for v in tensor.int32_data if not low <= v <= high), None)
        if outside is not None:
            kind = TensorProto.DataType.Name(tensor.data_type).lower()
            raise InvalidModel(f"the tensor '{tensor.name}' holds {outside}, outside {kind}'s {low}..{high}; quantize the model again")
