"""Batch normalization of inference: folded into the convolution or linear layer before it, else a factor and a shift per channel.

y = (x - mean) / sqrt(variance + epsilon) * weight + bias (Ioffe and Szegedy, ICML 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import relax

from nnc_tvm.errors import Unsupported
from nnc_tvm.relay_passes.graph import constant

Node = Any
Tensor = Any
NAME = "_native_batch_norm_legit_no_training.default"  # (x, weight, bias, mean, variance, momentum, epsilon) -> (y, and two for training)
CONTRACTIONS = ("conv1d.default", "conv1d.padding", "conv2d.default", "conv2d.padding", "conv3d.default", "linear.default")


def factor_and_shift(parameters: Sequence[Tensor], epsilon: float) -> tuple[Tensor, Tensor]:
    """(factor, shift) of each channel, float64. parameters: weight or None, bias or None, mean, variance."""
    weight, bias, mean, variance = parameters
    factor = (variance.double() + epsilon).rsqrt() * (1 if weight is None else weight.double())
    return factor, (0 if bias is None else bias.double()) - mean.double() * factor


def fold_batch_norm(graph: Any, constants: dict[Node, Tensor]) -> None:
    """Folds each batch normalization into what it alone reads, if that has constant weights; adds the new weights to `constants`."""
    for norm in [n for n in graph.nodes if n.op == "call_function" and n.target.__name__ == NAME]:
        source = norm.args[0]
        if source.op != "call_function" or source.target.__name__ not in CONTRACTIONS or len(source.users) != 1:
            continue
        x, weight, bias = (*source.args, None)[:3]
        if any(a is not None and a not in constants for a in (weight, bias, *norm.args[1:5])):
            continue
        factor, shift = factor_and_shift([None if a is None else constants[a] for a in norm.args[1:5]], float(norm.args[6]))
        old = constants[weight]
        scaled = old.double() * factor.reshape(-1, *[1] * (old.ndim - 1))
        moved = shift if bias is None else shift + constants[bias].double() * factor
        with graph.inserting_before(next(iter(graph.nodes))):
            new = [graph.placeholder(f"{source.name}_{part}_with_{norm.name}") for part in ("weight", "bias")]
        constants.update(zip(new, (scaled.to(old.dtype), moved.to(old.dtype)), strict=True))
        source.args = (x, *new, *source.args[3:])
        for result in list(norm.users):  # y alone is read in inference
            result.replace_all_uses_with(source)
            graph.erase_node(result)
        graph.erase_node(norm)


def convert(node: Node, importer: Any) -> list[Any]:
    """[x * factor + shift]. Raises Unsupported for parameters that are computed from the input."""
    import torch

    x = importer.env[node.args[0]]
    arrays = [None if argument is None else constant(importer.env[argument]) for argument in node.args[1:5]]
    if any(array is None and argument is not None for array, argument in zip(arrays, node.args[1:5], strict=True)):
        raise Unsupported("its parameters are computed from the input; they must be constants")
    tensors = [None if array is None else torch.from_numpy(array.copy()) for array in arrays]
    shape = (-1, *[1] * (len(x.ty.shape) - 2))
    factor, shift = (relax.const(value.float().reshape(shape).numpy()) for value in factor_and_shift(tensors, float(node.args[6])))
    return [importer.block_builder.emit(relax.op.add(importer.block_builder.emit(relax.op.multiply(x, factor)), shift))]
