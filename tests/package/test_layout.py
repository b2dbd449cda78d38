"""Where tensors live: aliases, memory that is taken over, outputs in the caller's buffers."""

from __future__ import annotations

import dataclasses

from nnc_tvm.package.constants import Constants
from nnc_tvm.package.layout import Place, lay_out
from nnc_tvm.relay_passes.program import ScheduledLayer, ScheduledProgram
from nnc_tvm.schedules.operators import TensorType
from tests.package.synthetic import network


def without_overwriting(scheduled: ScheduledProgram) -> ScheduledProgram:
    layers = tuple(ScheduledLayer(e.layer, tuple(dataclasses.replace(s, may_overwrite=()) for s in e.stages)) for e in scheduled.layers)
    return ScheduledProgram(scheduled.program, layers)


def test_inputs_and_outputs_stay_with_the_caller() -> None:
    layout = lay_out(network()[0], Constants())
    assert layout.steps[0].arguments[0] == Place("input", 0)
    assert layout.steps[-1].arguments[-1] == Place("output", 0)
    assert layout.copies == ((Place("output", 0), 1), (Place("input", 0), 2))


def test_a_dying_input_is_overwritten_but_never_the_callers() -> None:
    scheduled, _ = network()
    layout = lay_out(scheduled, Constants())
    assert layout.in_place == {1}  # step 0 reads the caller's input
    assert layout.steps[1].arguments[0] == layout.steps[1].arguments[-1]
    assert layout.arena.lower_bound == 12 + 24
    apart = lay_out(without_overwriting(scheduled), Constants())
    assert apart.in_place == frozenset()
    assert apart.steps[1].arguments[0] != apart.steps[1].arguments[-1]


def test_an_input_that_is_read_later_is_not_overwritten() -> None:
    scheduled, _ = network()
    program = dataclasses.replace(scheduled.program, outputs=("e",))
    reread = dataclasses.replace(scheduled.layers[0].layer, name="again", inputs=("a",), output="z")
    program.values["z"] = program.values["a"]
    layers = (*scheduled.layers, ScheduledLayer(reread, scheduled.layers[0].stages))
    assert lay_out(ScheduledProgram(program, layers), Constants()).in_place == {6}  # by the last reader


def test_an_output_is_not_in_the_arena_and_not_overwritten() -> None:
    scheduled, _ = network()
    program = dataclasses.replace(scheduled.program, outputs=("e", "a"))
    layout = lay_out(ScheduledProgram(program, scheduled.layers), Constants())
    assert layout.steps[0].arguments[-1] == Place("output", 1)
    assert layout.in_place == frozenset()


def test_scratch_lives_for_one_step() -> None:
    scheduled, _ = network()
    plain = lay_out(scheduled, Constants())
    layer = scheduled.layers[1]
    stage = dataclasses.replace(layer.stages[0], scratch=(TensorType((50,), "int16"), TensorType((3,), "int32")))
    layers = (scheduled.layers[0], dataclasses.replace(layer, stages=(stage, *layer.stages[1:])), *scheduled.layers[2:])
    layout = lay_out(ScheduledProgram(scheduled.program, layers), Constants())
    before, after = plain.steps[1].arguments, layout.steps[1].arguments
    assert len(after) == len(before) + 2 and {place.base for place in after[-3:-1]} == {"arena"}  # between the constants and the output
    assert len({place.index for place in after[-3:]}) == 3
    assert plain.arena.bytes < layout.arena.bytes
    assert [step.arguments[-1].base for step in layout.steps] == [step.arguments[-1].base for step in plain.steps]


def test_equal_constants_are_one() -> None:
    constants = Constants()
    lay_out(network()[0], constants)
    assert constants.count == 3  # two tables; both dense layers have one weight
    image, offsets = constants.image()
    assert offsets == (0, 256, 512) and len(image) == 512 + 144
