"""Divides the kernels that are worth it into parts, one for each of a package's threads."""

from __future__ import annotations

import dataclasses

from nnc_tvm.relay_passes.program import ScheduledLayer, ScheduledProgram
from nnc_tvm.schedules.parallel import split
from nnc_tvm.schedules.rule import Stage

WORTH = 1 << 16  # multiply-accumulates, below which threads wait longer for each other than they save: a few microseconds
ELEMENT_COST = 16  # multiply-accumulates that take as long as another element of a result


def split_kernels(scheduled: ScheduledProgram, threads: int) -> ScheduledProgram:
    """`scheduled` for `threads` threads; as it is for one."""
    if threads == 1:
        return scheduled
    layers = (dataclasses.replace(layer, stages=tuple(split_stage(layer, stage, threads) for stage in layer.stages)) for layer in scheduled.layers)
    return ScheduledProgram(scheduled.program, tuple(layers))


def split_stage(layer: ScheduledLayer, stage: Stage, threads: int) -> Stage:
    """The stage in parts, or as it is where that is not worth it or not possible."""
    macs = layer.layer.operator.macs if stage is layer.stages[-1] else 0
    if stage.may_fail or macs + ELEMENT_COST * stage.output.elements < WORTH:
        return stage
    function = split(stage.function, threads)
    return stage if function is None else dataclasses.replace(stage, function=function, parts=threads)
