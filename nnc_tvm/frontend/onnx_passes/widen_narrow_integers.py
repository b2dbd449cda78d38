"""4-bit and 2-bit integers become int8 and uint8, value by value.

Constant weights keep their values, which a later form may pack again. An activation quantized to a narrow type is clamped to the narrow
range before it is quantized to the wide one: the same integers.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_names import label
from nnc_tvm.frontend.onnx_passes.graph import attributes, initializers, replace_nodes, set_initializer

# data type -> (its range, the type that holds it)
NARROW = {
    TensorProto.INT4: (-8, 7, np.int8), TensorProto.UINT4: (0, 15, np.uint8), TensorProto.INT2: (-2, 1, np.int8), TensorProto.UINT2: (0, 3, np.uint8),
}


def widen_narrow_integers(model: onnx.ModelProto) -> None:
    """Raises Unsupported where a narrow activation has a scale that is not constant."""
    graph = model.graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "value" and attribute.t.data_type in NARROW:
                _widen(attribute.t)
    narrow = {t.name: t.data_type for t in graph.initializer if t.data_type in NARROW}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        kind = _result_type(node, narrow)
        nodes += [node] if kind is None else _clamped(graph, node, kind)
    for tensor in graph.initializer:
        if tensor.data_type in NARROW:
            _widen(tensor)
    replace_nodes(graph, nodes)


def _widen(tensor: onnx.TensorProto) -> None:
    wide = numpy_helper.to_array(tensor).astype(NARROW[tensor.data_type][2])
    tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))


def _result_type(node: onnx.NodeProto, narrow: dict[str, int]) -> int | None:
    """The narrow type that a QuantizeLinear makes, None for all others."""
    if node.op_type != "QuantizeLinear":
        return None
    kind = narrow.get(node.input[2]) if len(node.input) > 2 and node.input[2] else attributes(node).get("output_dtype")
    return kind if kind in NARROW else None


def _clamped(graph: onnx.GraphProto, node: onnx.NodeProto, kind: int) -> list[onnx.NodeProto]:
    """Clamps the input to the reals that `kind` can stand for, then quantizes to the wide type."""
    low, high, wide = NARROW[kind]
    constants = initializers(graph)
    zero_name = node.input[2] if len(node.input) > 2 else ""
    if node.input[1] not in constants or (zero_name and zero_name not in constants):
        raise Unsupported(f"{label(node)}: quantizes to {TensorProto.DataType.Name(kind)} by a scale that is computed at run time; use int8")
    scale = numpy_helper.to_array(constants[node.input[1]]).astype(np.float32)
    zero = numpy_helper.to_array(constants[zero_name]).astype(np.int32) if zero_name else np.zeros((), np.int32)
    if scale.size != 1:
        raise Unsupported(f"{label(node)}: quantizes an activation to {TensorProto.DataType.Name(kind)} by {scale.size} scales; activations have one scale")
    names = [f"{node.output[0]}::{bound}" for bound in ("low", "high")]
    for name, bound in zip(names, (low, high), strict=True):
        set_initializer(graph, name, np.asarray((bound - zero.reshape(())) * scale.reshape(()), np.float32))
    clip = helper.make_node("Clip", [node.input[0], *names], [f"{node.output[0]}::clamped"], name=f"{node.name or node.output[0]}_clamp")
    quantize = onnx.NodeProto.FromString(node.SerializeToString())
    quantize.input[0] = clip.output[0]
    for attribute in quantize.attribute:
        if attribute.name == "output_dtype":
            attribute.i = helper.np_dtype_to_tensor_dtype(np.dtype(wide))
    return [clip, quantize]
