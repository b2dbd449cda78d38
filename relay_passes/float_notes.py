"""Why a layer is computed in float in a network that is quantized, for people who read the table of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nnc_tvm.relay_passes.composites.contraction import SUMS
from nnc_tvm.relay_passes.composites.match import parse_operand
from nnc_tvm.relay_passes.graph import Graph, operator_name
from nnc_tvm.relay_passes.program import Layer, Program

Expr = Any


def is_contraction(layer: Layer, dtype: str) -> bool:
    return bool(layer.operator.macs) and layer.operator.inputs[0].dtype == dtype


def note_floats(graph: Graph, layers: Sequence[tuple[Layer, Sequence[Expr]]]) -> tuple[Layer, ...]:
    """The layers, each given with the variables it computes; float contractions beside quantized ones say why they are float."""
    if not any(is_contraction(layer, "int8") for layer, _ in layers):
        return tuple(layer for layer, _ in layers)
    return tuple(replace(layer, note=float_reason(graph, covered)) if is_contraction(layer, "float32") and not layer.note else layer
                 for layer, covered in layers)


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
