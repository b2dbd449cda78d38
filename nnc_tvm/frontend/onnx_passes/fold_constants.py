"""Nodes whose inputs are all constant are computed now: Constant nodes, shape arithmetic, quantization of constant weights.

DequantizeLinear stays: integer weights must reach the integer kernels as integers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.onnx_names import label
from nnc_tvm.frontend.onnx_passes.graph import attributes, infer_shapes, replace_nodes, static_shapes
from nnc_tvm.frontend.shapes import one_line
from nnc_tvm.relay_passes.masks import check_product

KEPT = frozenset({"DequantizeLinear", "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"})
MOST_ELEMENTS = 1 << 25  # of a constant that is larger than those it is computed from: a file of a few bytes can ask for more than the memory holds
CONTRACTIONS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "Einsum"})
PASSED_ON = frozenset({"Mul", "Cast", "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "QuantizeLinear", "DequantizeLinear"})


def fold_constants(model: onnx.ModelProto) -> None:
    """Folds until nothing changes: a shape that becomes known makes more constants."""
    while _fold_once(model):
        infer_shapes(model)


def _fold_once(model: onnx.ModelProto) -> bool:
    graph = model.graph
    shapes = static_shapes(model)
    known = {t.name: t for t in graph.initializer}
    outputs = {o.name for o in graph.output}
    kept: list[onnx.NodeProto] = []
    integers: dict[str, onnx.TensorProto] = {}  # of dequantized constants
    folded: dict[str, np.ndarray] = {}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in known:
            integers[node.output[0]] = known[node.input[0]]
        if node.op_type == "Mul":
            check_masks(node, known, integers, graph)
        values = _evaluate(node, known, shapes, model)
        if values is None or outputs & set(node.output):
            kept.append(node)
            continue
        for name, value in values.items():
            folded[name] = value
            known[name] = numpy_helper.from_array(np.asarray(value), name)
    if not folded:
        return False
    replace_nodes(graph, kept)
    graph.initializer.extend(known[name] for name in folded)
    return True


def check_masks(node: onnx.NodeProto, known: Mapping[str, onnx.TensorProto], integers: Mapping[str, onnx.TensorProto], graph: onnx.GraphProto) -> None:
    """Raises Unsupported where one constant factor of a weight is a mask of the other, constant or dequantized, and no good one; constants have names
    here."""
    factors = [(name, numpy_helper.to_array({**known, **integers}[name])) for name in node.input if name in known or name in integers]
    if len(factors) == 2 and any(name in known for name, _ in factors) and is_weight(node.output[0], graph, {*known, *integers}):
        check_product((factors[0], factors[1]))


def is_weight(name: str, graph: onnx.GraphProto, constants: Collection[str]) -> bool:
    """Whether a constant, moved, quantized or scaled at most, ends as the weights of a convolution or a matrix product. constants: the others' names."""
    for node in graph.node:
        if name in node.input:
            constant_too = all(i in (name, "") or i in constants for i in node.input)
            if node.op_type in CONTRACTIONS and not constant_too:
                return True
            if node.op_type in PASSED_ON and constant_too and is_weight(node.output[0], graph, constants):
                return True
    return False


def _evaluate(node: onnx.NodeProto, known: dict[str, onnx.TensorProto], shapes: dict[str, tuple[int, ...]],
              model: onnx.ModelProto) -> dict[str, np.ndarray] | None:
    """The node's outputs where they are constant, else None."""
    if node.op_type == "Shape" and node.input[0] in shapes:
        a = attributes(node)
        return {node.output[0]: np.array(shapes[node.input[0]][a.get("start", 0) : a.get("end")], np.int64)}
    if node.op_type == "Size" and node.input[0] in shapes:
        return {node.output[0]: np.array(int(np.prod(shapes[node.input[0]])), np.int64)}
    inputs = [name for name in node.input if name]
    if node.op_type in KEPT or any(name not in known for name in inputs) or any(a.HasField("g") for a in node.attribute):
        return None
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    function = onnx.helper.make_graph([node], "constant", [], outputs, [known[n] for n in dict.fromkeys(inputs)])
    model_of_node = onnx.helper.make_model(function, opset_imports=model.opset_import)
    check_sizes(node, shapes, model_of_node)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            results = ReferenceEvaluator(model_of_node).run(None, {})
    except NotImplementedError:
        return None
    except Exception as error:  # the evaluator raises whatever NumPy raises
        raise InvalidModel(f"{label(node)}: cannot be computed from its constant inputs: {one_line(error)}") from error
    values = dict(zip([name for name in node.output if name], results, strict=True))
    return {name: np.asarray(value) for name, value in values.items()} if all(isinstance(v, np.ndarray | np.generic) for v in values.values()) else None


def check_sizes(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]], alone: onnx.ModelProto) -> None:
    """Raises Unsupported where an output grows beyond MOST_ELEMENTS. shapes: those known; alone: a model of the node and its constants, for others."""
    names = [name for name in node.output if name]
    if any(name not in shapes for name in names):
        try:
            shapes = {**shapes, **static_shapes(onnx.shape_inference.infer_shapes(alone))}
        except (ValueError, RuntimeError):  # the computation says what is wrong
            return
    most = max(MOST_ELEMENTS, sum(math.prod(t.dims) for t in alone.graph.initializer))
    for name in names:
        if math.prod(shapes.get(name, ())) > most:
            raise Unsupported(f"{label(node)}: the constant '{name}' that it makes has the shape {list(shapes[name])}; constants of at most {most} elements "
                              "are computed when compiling, make it smaller or an input of the model")
