"""Register tiles of all instructions have a TensorIntrin each, whatever else the process has compiled."""

from __future__ import annotations

import pytest

from nnc_tvm.schedules.intrin.tile import tile_step
from nnc_tvm.schedules.isa import Tile
from nnc_tvm.schedules.rules.contraction import TABLES, instructions
from nnc_tvm.targets.registry import get_target


def test_every_instruction_has_a_name_of_its_own() -> None:
    every = [isa for tables in TABLES.values() for table in tables for isa in table]
    names = {tile_step(isa, Tile(isa.rows, 1, 1, 8 * isa.depth)) for isa in every}
    assert len(names) == len(every)


@pytest.mark.parametrize("dtypes", [("int8", "float32"), ("float32", "int8")])
def test_types_of_one_name_are_apart(dtypes: tuple[str, str]) -> None:
    features = get_target("x86_cpu", emit="c").features
    first, second = [tile_step(instructions(features, dtype)[0], Tile(1, 1, 1, 17)) for dtype in dtypes]
    assert first != second
