"""Why a layer is computed in float in a network that is quantized, for people who read the table of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import tvm

from nnc_tvm.relay_passes.composites.contraction import SUMS
from nnc_tvm.relay_passes.composites.match import parse_operand
from nnc_tvm.relay_passes.composites.table import SEVERAL, UNARY
from nnc_tvm.relay_passes.graph import Graph, operator_name, variables
from nnc_tvm.relay_passes.program import Layer, Program
from nnc_tvm.schedules.operators import Primitive

Expr = Any
# operators that composites/ have patterns for, where what they read and make is quantized
WITH_INTEGER_FORM = UNARY.keys() | SEVERAL.keys() | {
    "relax.mean", "relax.sum", "relax.nn.avg_pool2d", "relax.nn.adaptive_avg_pool2d", "relax.nn.softmax", "relax.image.resize2d", "relax.clip",
}


def is_contraction(layer: Layer, dtype: str) -> bool:
    return bool(layer.operator.macs) and layer.operator.inputs[0].dtype == dtype


def note_floats(graph: Graph, layers: Sequence[tuple[Layer, Sequence[Expr]]]) -> tuple[Layer, ...]:
    """The layers, each given with the variables it computes; float ones beside quantized ones say why they are float."""
    if not any(t.dtype == "int8" for layer, _ in layers for t in (*layer.operator.inputs, layer.operator.output)):
        return tuple(layer for layer, _ in layers)
    quantized = quantized_later(graph)
    reasons = (float_reason(graph, covered) if is_contraction(layer, "float32") else primitive_reason(graph, covered[-1], quantized) if is_float(layer) else ""
               for layer, covered in layers)
    return tuple(replace(layer, note=layer.note or reason) for (layer, _), reason in zip(layers, reasons, strict=True))


def is_float(layer: Layer) -> bool:
    """Whether it computes on floats for want of something better."""
    return isinstance(layer.operator, Primitive) and any(t.dtype == "float32" for t in (*layer.operator.inputs, layer.operator.output))


def primitive_reason(graph: Graph, variable: Expr, quantized: set[Expr]) -> str:
    """What an operator with an integer form lacks: its inputs' or its output's quantization; else that it has none.

    quantized: as `quantized_later` says.
    """
    call = graph.definition(variable)
    name = operator_name(call)
    if name in WITH_INTEGER_FORM:
        operands = [x for x in map(partial(parse_operand, graph), tensors(call)) if x.array is None]
        missing = []
        if any(x.quantization is None for x in operands):
            missing.append("no input" if all(x.quantization is None for x in operands) else "not every input")
        if variable not in quantized:
            missing.append("its output is not")
        if missing == ["its output is not"]:
            return "float in the model: its output is not quantized"
        if missing:
            return f"float in the model: {missing[0]} is quantized" + (", nor is its output" if len(missing) > 1 else "")
    return f"no integer form: {name.removeprefix('relax.')}"


def tensors(call: Expr) -> list[Expr]:
    return [a for a in call.args if isinstance(a, tvm.ir.Var) and hasattr(a.ty, "dtype")]


def quantized_later(graph: Graph) -> set[Expr]:
    """The tensors that something quantizes, with other element-wise operators before that or not."""
    found: set[Expr] = set()
    for variable in reversed(list(graph.definitions)):
        value = graph.definitions[variable]
        if operator_name(value) == "relax.quantize" or (operator_name(value) in WITH_INTEGER_FORM and variable in found):
            found.update(variables(value))
    return found


def float_reason(graph: Graph, covered: Sequence[Expr]) -> str:
    """What a contraction lacks that integers need; "" where that is not known."""
    call = next((c for c in map(graph.definition, covered) if operator_name(c) in SUMS), None)
    if call is None:
        return ""
    operands = {what: parse_operand(graph, argument) for what, argument in zip(("input", "weights"), call.args, strict=False)}
    missing = [what for what, leaf in operands.items() if leaf.quantization is None]
    if len(missing) == len(operands):
        return "float in the model: neither its input nor its weights are quantized"
    if missing:
        return f"float in the model: its {missing[0]} {'is' if missing == ['input'] else 'are'} not quantized"
    if operands["input"].int8 is None:
        return "in float: its input has no scale of its own for the whole tensor"
    return "in float: the scales of its weights do not lie along its output channels"


def with_notes(program: Program, notes: Mapping[str, str]) -> Program:
    """`program` with why its float contractions are float, by name, where that is known better than from the graph."""
    layers = (replace(layer, note=notes.get(layer.name, layer.note)) if is_contraction(layer, "float32") else layer for layer in program.layers)
    return replace(program, layers=tuple(layers)) if notes else program
