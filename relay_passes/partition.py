"""Runs of layers that an NPU takes become one layer each; the rest stays with the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nnc_tvm.relay_passes.program import Layer, Program
from nnc_tvm.schedules.operators import Reshape
from nnc_tvm.targets.base import Companion
from nnc_tvm.targets.npu.constraints import refusal
from nnc_tvm.targets.npu.network import NpuNetwork
from nnc_tvm.targets.npu.nodes import DoesNotFit, Node
from nnc_tvm.targets.npu.packing import Pack
from nnc_tvm.targets.npu.selection import economical, generate
from nnc_tvm.targets.npu.target import MOST_SRAM


def partition(program: Program, companion: Companion, place: Pack) -> Program:
    """`program` with the device's networks in it. Layers that stay with the host say why in their note.

    place: puts buffers with lifetimes into one memory. Raises DoesNotFit naming the layer that does not fit an SRAM that was asked for; without that the
    layer stays with the host.
    """
    layers: list[Layer] = []
    run: list[Layer] = []
    config = companion.config if companion.economical else replace(companion.config, sram_bytes=MOST_SRAM)  # whether a layer fits what was asked for, plans say
    for layer in program.layers:
        reason = refusal(layer.operator, config)
        if reason is None:
            run.append(layer)
        else:
            layers += [*_fitting(run, program, companion, place), _refused(layer, reason)]
            run = []
    return replace(program, layers=(*layers, *_fitting(run, program, companion, place)))


def _refused(layer: Layer, reason: str) -> Layer:
    return replace(layer, note=layer.note or f"not on the NPU, {reason}")


def _fitting(run: Sequence[Layer], program: Program, companion: Companion, place: Pack) -> list[Layer]:
    """The networks of a run, and between them layers that no plan finds room for."""
    try:
        return _networks(run, program, companion, place)
    except DoesNotFit as error:
        if not companion.economical:
            raise
        at = next(number for number, layer in enumerate(run) if layer.output == error.node.output)
        return [*_fitting(run[:at], program, companion, place), _refused(run[at], str(error)), *_fitting(run[at + 1:], program, companion, place)]


def _networks(run: Sequence[Layer], program: Program, companion: Companion, place: Pack) -> list[Layer]:
    """Networks of one output each, as long as possible; what only moves names stays as it is."""
    made: list[Layer] = []
    rest = list(run)
    while rest:
        end = max((n for n in range(1, len(rest) + 1) if len(_results(rest[:n], program)) == 1), default=1)
        part, rest = rest[:end], rest[end:]
        made += part if all(isinstance(layer.operator, Reshape) for layer in part) else [_network(part, program, companion, place)]
    return made


def _results(part: Sequence[Layer], program: Program) -> list[str]:
    """Values of `part` that others read."""
    inside = {id(layer) for layer in part}
    read = {name for layer in program.layers if id(layer) not in inside for name in layer.inputs} | set(program.outputs)
    return [layer.output for layer in part if layer.output in read]


def _network(part: Sequence[Layer], program: Program, companion: Companion, place: Pack) -> Layer:
    known = {layer.output for layer in part}
    inputs = tuple(dict.fromkeys(name for layer in part for name in layer.inputs if name not in known))
    (output,) = _results(part, program)
    nodes = [Node(layer.name, layer.operator, layer.inputs, layer.output) for layer in part]
    make = economical if companion.economical else generate
    network = make(nodes, inputs, (output,), companion.config, place)
    operator = NpuNetwork(tuple(program.values[name].type for name in inputs), program.values[output].type, network, sum(node.operator.macs for node in nodes))
    return Layer(f"{part[0].name} ... {part[-1].name}", operator, inputs, output)
