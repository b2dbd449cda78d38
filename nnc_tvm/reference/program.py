"""Runs a whole program, keeping every value: what a package is compared with, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nnc_tvm.errors import InvalidInput
from nnc_tvm.reference.dispatch import evaluate

if TYPE_CHECKING:
    from nnc_tvm.relay_passes.program import Program


def run_program(program: Program, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every value by name for one call. Raises InvalidInput for inputs that are missing or of another shape or dtype."""
    values = dict(program.constants)
    for name in program.inputs:
        wanted = program.values[name].type
        given = inputs.get(name)
        if given is None:
            raise InvalidInput(f"input '{name}' is missing; the model reads {', '.join(program.inputs)}")
        if given.shape != wanted.shape or str(given.dtype) != wanted.dtype:
            raise InvalidInput(f"input '{name}' is {given.dtype}{list(given.shape)}; the model reads {wanted.dtype}{list(wanted.shape)}")
        values[name] = given
    for layer in program.layers:
        values[layer.output] = evaluate(layer.operator, *(values[name] for name in layer.inputs))
    return values
