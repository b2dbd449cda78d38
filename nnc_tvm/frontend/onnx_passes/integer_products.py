"""Sums of integers that are scaled become products of reals: what ONNX Runtime's dynamic quantizer writes is put into QDQ form.

Cast(ConvInteger(q, w, z, wz)) * s * ws, the factors in any order, of (q, s, z) = DynamicQuantizeLinear(x), is Conv(DequantizeLinear(q, s, z),
DequantizeLinear(w, ws, wz)). MatMulInteger alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_passes.graph import attributes, infer_shapes, initializers, replace_nodes
from nnc_tvm.frontend.onnx_passes.rewrite import Replacement

REAL = {"ConvInteger": "Conv", "MatMulInteger": "MatMul"}


class Graph:
    """Who makes and who reads each tensor."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.constants = {name: numpy_helper.to_array(t) for name, t in initializers(graph).items()}
        self.makers = {o: node for node in graph.node for o in node.output}
        self.readers: dict[str, list[onnx.NodeProto | None]] = {o.name: [None] for o in graph.output}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def only_reader(self, name: str, op: str) -> onnx.NodeProto | None:
        """The node `op` that alone reads a tensor, once."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and readers[0] is not None and readers[0].op_type == op else None

    def factors(self, name: str) -> Iterator[str]:
        """The tensors whose product a tensor is."""
        node = self.makers.get(name)
        if node is None or node.op_type != "Mul":
            yield name
        else:
            for factor in node.input:
                yield from self.factors(factor)


def integer_products(model: onnx.ModelProto) -> None:
    """Rewrites where the weights are constant, nothing else reads the sums, and the factors are the activation's scale and constants per channel."""
    graph = Graph(model.graph)
    gone: set[str] = set()
    made: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        found = _scaled_sum(graph, node) if node.op_type in REAL else None
        if found is not None:
            covered, factors = found
            r = Replacement(model.graph, covered[-1])
            _replace(r, graph, node, factors)
            gone.update(n.output[0] for n in covered)
            made[covered[-1].output[0]] = r.nodes
    if made:
        replace_nodes(model.graph, [n for node in model.graph.node for n in made.get(node.output[0], [] if node.output[0] in gone else [node])])
        infer_shapes(model)


def _scaled_sum(graph: Graph, node: onnx.NodeProto) -> tuple[list[onnx.NodeProto], list[np.ndarray]] | None:
    """(the nodes from the sums to the scaled result, the constant factors); None where the pattern is another."""
    source, weight = graph.makers.get(node.input[0]), graph.constants.get(node.input[1])
    zeros = node.input[3] if len(node.input) > 3 else ""
    if source is None or source.op_type != "DynamicQuantizeLinear" or list(node.input[2:3]) != list(source.output[2:3]):
        return None
    if weight is None or weight.ndim != (4 if node.op_type == "ConvInteger" else 2) or (zeros and zeros not in graph.constants):
        return None
    cast = graph.only_reader(node.output[0], "Cast")
    if cast is None or attributes(cast)["to"] != TensorProto.FLOAT:
        return None
    covered, factors = [node, cast], list[str]()
    while (product := graph.only_reader(covered[-1].output[0], "Mul")) is not None:
        more = [f for name in product.input if name != covered[-1].output[0] for f in graph.factors(name)]
        if not all(f == source.output[1] or f in graph.constants for f in more) or (source.output[1] in more and source.output[1] in factors):
            break
        factors += more
        covered.append(product)
    constants = [graph.constants[f] for f in factors if f in graph.constants]
    channels = weight.shape[0 if node.op_type == "ConvInteger" else 1]
    if factors.count(source.output[1]) != 1 or not all(_per_channel(c, node, channels) for c in constants):
        return None
    return covered, constants


def _per_channel(factor: np.ndarray, node: onnx.NodeProto, channels: int) -> bool:
    """Whether a factor of the result is one number, or one for each channel."""
    last = (channels, 1, 1) if node.op_type == "ConvInteger" else (channels,)
    return factor.dtype == np.float32 and (factor.size == 1 or (factor.size == channels and factor.shape[-len(last):] == last))


def _replace(r: Replacement, graph: Graph, node: onnx.NodeProto, factors: list[np.ndarray]) -> None:
    """Emits the product of reals; its result is that of `r.node`, the last factor's."""
    source, weight = graph.makers[node.input[0]], graph.constants[node.input[1]]
    zero = graph.constants[node.input[3]].reshape(-1) if len(node.input) > 3 and node.input[3] else np.zeros(1, weight.dtype)
    axis = 0 if node.op_type == "ConvInteger" else 1
    scale = np.ones(1, np.float32)
    for factor in factors:
        scale = scale * factor.reshape(-1)
    size = max(scale.size, zero.size)
    if size > 1 and size != weight.shape[axis]:
        raise Unsupported(f"{size} zero points of {weight.shape[axis]} channels")
    shape = (size,) if size > 1 else ()
    operands = [r.constant(np.broadcast_to(v, (size,)).reshape(shape), name) for v, name in ((scale, "scale"), (zero.astype(weight.dtype), "zero"))]
    x = r.emit("DequantizeLinear", *source.output[:3])
    r.emit(REAL[node.op_type], x, r.emit("DequantizeLinear", node.input[1], *operands, axis=axis), output=r.node.output[0])
    r.nodes[-1].attribute.extend(node.attribute)
