"""The reals of a contraction of dynamically quantized activations are computed as it stores them: its int32 sums never are in memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from nnc_tvm.relay_passes.fuse_residuals import worth_fusing
from nnc_tvm.relay_passes.program import Layer, Program
from nnc_tvm.schedules.operators import DynamicRescale
from nnc_tvm.schedules.operators.operator import TensorType, WeightedSum
from nnc_tvm.schedules.quantization import KeepInt32
from nnc_tvm.schedules.rule import Choose, choose_default
from nnc_tvm.targets.base import Target


def fuse_rescales(program: Program, target: Target, choose: Choose = choose_default) -> Program:
    """`program` with every DynamicRescale fused where nothing else reads the sums and the layer takes no more for it; the outputs are the same."""
    readers = Counter([*program.outputs, *(name for layer in program.layers for name in layer.inputs)])
    numbers = {layer.output: number for number, layer in enumerate(program.layers)}
    layers: dict[int, Layer] = dict(enumerate(program.layers))
    values = dict(program.values)
    for number, layer in enumerate(program.layers):
        if not isinstance(layer.operator, DynamicRescale) or readers[layer.inputs[0]] > 1 or layer.inputs[0] not in numbers:
            continue
        source = layers[numbers[layer.inputs[0]]]
        operator = fused(source, layer.operator)
        if operator is not None and worth_fusing(source.operator, operator, target, choose):
            # where the rescale was, after the parameters are known
            layers[number] = Layer(layer.name, operator, (*source.inputs, layer.inputs[1]), layer.output, source.note, source.form, source.instead)
            del layers[numbers[source.output]], values[source.output]
    return replace(program, layers=tuple(layer for _, layer in sorted(layers.items())), values=values)


def fused(source: Layer, rescale: DynamicRescale) -> WeightedSum | None:
    """The contraction that rescales its sums; None for what is none."""
    operator = source.operator
    if not isinstance(operator, WeightedSum) or not isinstance(operator.epilogue, KeepInt32):
        return None
    output = TensorType(operator.output.shape, "float32")
    return replace(operator, inputs=(*operator.inputs, rescale.inputs[1]), output=output, epilogue=rescale.epilogue)
