"""Gives every layer its kernels: the first of the target's rules that takes the operator."""

from __future__ import annotations

from nnc_tvm.errors import Unsupported
from nnc_tvm.relay_passes.program import Program, ScheduledLayer, ScheduledProgram
from nnc_tvm.schedules.candidates import Selection, with_others
from nnc_tvm.schedules.operators import Reshape
from nnc_tvm.schedules.rule import Choose, Stage, choose_default
from nnc_tvm.targets.base import Target


def schedule_layers(program: Program, target: Target, choose: Choose = choose_default) -> ScheduledProgram:
    """`program` with stages for `target`. Raises Unsupported naming the layer that no rule takes."""
    scheduled = []
    for layer in program.layers:
        made: tuple[Stage, ...] | Selection | None = () if isinstance(layer.operator, Reshape) else None
        for rule in target.rules if made is None else ():
            made = rule(layer.operator, target, choose)
            if made is not None:
                break
        if made is None:
            raise Unsupported(f"layer '{layer.name}': {target.kind} has no kernel for {type(layer.operator).__name__} of {layer.operator.inputs}")
        scheduled.append(ScheduledLayer(layer, made.stages, with_others(made, layer.instead)) if isinstance(made, Selection) else ScheduledLayer(layer, made))
    return ScheduledProgram(program, tuple(scheduled))
