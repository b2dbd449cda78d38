"""Element by element what depends on one tensor is one table: x times its own quantized sigmoid, a table of a table, a rescaled table.

The oracle computes the layers for all 256 values, so that the table holds the same integers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from nnc_tvm.reference import evaluate
from nnc_tvm.relay_passes.program import Layer, Program
from nnc_tvm.schedules.operators import FlipSign, LinearCombination, Multiply, Rescale, Table, TensorType

ELEMENTWISE = (FlipSign, LinearCombination, Multiply, Rescale, Table)
BYTES = np.arange(-128, 128, dtype=np.int8)
Function = tuple[str, np.ndarray, tuple[str, ...]]
"""(the value it depends on, what it is for each of its 256 values, the names of the layers)"""


def merge_tables(program: Program) -> Program:
    """`program` with the last of such layers a table of their common input; those that nothing else reads are gone."""
    functions: dict[str, Function] = {}
    layers = []
    for layer in program.layers:
        found = function_of(layer, functions)
        if found is not None:
            functions[layer.output] = found
            source, values, within = found
            if any(name in functions for name in layer.inputs) or len(layer.inputs) > 1:
                operator = Table((program.values[source].type,), layer.operator.output, values)
                notes = "; ".join(note for note in (f"with {', '.join(within)}" if within else "", layer.note) if note)
                layers.append(Layer(layer.name, operator, (source,), layer.output, notes))
                continue
        layers.append(layer)
    return without_unread(replace(program, layers=tuple(layers)), set(functions))


def function_of(layer: Layer, functions: dict[str, Function]) -> Function | None:
    """The layer as a function of one int8 tensor of its output's shape; None where it is none."""
    operator = layer.operator
    if not isinstance(operator, ELEMENTWISE) or any(t != operator.output or t.dtype != "int8" for t in operator.inputs):
        return None
    inputs = [functions.get(name, (name, BYTES, ())) for name in layer.inputs]
    if len({source for source, _, _ in inputs}) > 1:
        return None
    column = TensorType((256,), "int8")
    one = replace(operator, inputs=(column,) * len(inputs), output=column)
    within = dict.fromkeys(name for name, (_, _, names) in zip(layer.inputs, inputs, strict=True) for name in (*names, *([name] if name in functions else [])))
    return inputs[0][0], evaluate(one, *(values for _, values, _ in inputs)), tuple(within)


def without_unread(program: Program, candidates: set[str]) -> Program:
    """`program` without those of the layers that make `candidates` which nothing reads."""
    readers = Counter([*program.outputs, *(name for layer in program.layers for name in layer.inputs)])
    kept = []
    for layer in reversed(program.layers):
        if layer.output in candidates and not readers[layer.output]:
            readers.subtract(layer.inputs)
        else:
            kept.append(layer)
    made = {layer.output for layer in kept}
    gone = {layer.output for layer in program.layers} - made
    return replace(program, layers=tuple(reversed(kept)), values={name: value for name, value in program.values.items() if name not in gone})
