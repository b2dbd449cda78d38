"""Primitives that compute element by element: float additions, activations, products. They keep channels apart as their integer kin do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import s_tir, te, tirx

from nnc_tvm.relay_passes.channels import Route, trace, trace_elements
from nnc_tvm.relay_passes.restrict_channels import restrict_parameters
from nnc_tvm.schedules.operators.operator import Operator, TensorType
from nnc_tvm.schedules.operators.primitive import Primitive

Expr = Any


def _axes(indices: Sequence[Expr], variables: Sequence[Expr]) -> list[int | None] | None:
    """For each index the output axis, from the right, that it walks, None where it is 0; None for other indices."""
    found: list[int | None] = []
    for index in indices:
        walked = next((k - len(variables) for k, v in enumerate(variables) if v.same_as(index)), None)
        if walked is None and not (isinstance(index, tirx.IntImm) and int(index) == 0):
            return None
        found.append(walked)
    return found


def element_of(primitive: Primitive) -> tuple[Expr, list[Expr]] | None:
    """(the value of one element, the variables of its position), None for loops that are not element by element.

    Every load reads the position itself, aligned to the right as NumPy broadcasts; the value knows of the position nothing else.
    """
    loops = primitive.function.body.block.body
    while isinstance(loops, tirx.For):
        loops = loops.body
    if not isinstance(loops, s_tir.SBlockRealize) or not isinstance(loops.block.body, tirx.BufferStore) or loops.block.init is not None:
        return None
    variables = [v.var for v in loops.block.iter_vars]
    store, parameters = loops.block.body, list(primitive.function.params)
    if not store.buffer.same_as(parameters[-1]) or _axes(store.indices, variables) != list(range(-len(variables), 0)):
        return None
    loads: list[Expr] = []
    seen: list[Expr] = []
    tvm_ffi.structural_walk(store.value, ((tvm.ir.TensorLoad, loads.append), (tirx.Var, seen.append)))
    used = sum(any(v.same_as(s) for v in variables) for s in seen)
    for load in loads:
        axes = _axes(load.indices, variables)
        if axes is None or not any(load.source.same_as(p) for p in parameters[:-1]):
            return None
        if any(a is not None and a != k - len(axes) for k, a in enumerate(axes)):
            return None
        used -= sum(a is not None for a in axes)
    return (store.value, variables) if used == 0 else None


@trace.register
def _(operator: Primitive, axes: tuple[int, ...]) -> Route | None:
    return trace_elements(operator, axes) if axes and element_of(operator) is not None else None


def resized(primitive: Primitive, inputs: tuple[TensorType, ...], output: TensorType) -> tvm.tirx.PrimFunc:
    """The loops of an element-wise primitive over other shapes."""
    found = element_of(primitive)
    assert found is not None
    value, variables = found
    sources = [te.placeholder(t.shape, t.dtype, name=f"x{k}") for k, t in enumerate(inputs)]

    def element(*position: Expr) -> Expr:
        def load(old: Expr) -> Expr:
            source = next(s for s, p in zip(sources, primitive.function.params, strict=False) if p.same_as(old.source))
            walked = _axes(old.indices, variables)
            assert walked is not None
            return source(*(tirx.const(0, "int64") if axis is None else position[axis] for axis in walked))

        return tvm_ffi.structural_map(value, (tvm.ir.TensorLoad, load))

    return te.create_prim_func([*sources, te.compute(output.shape, element, name=primitive.name)])


@restrict_parameters.register
def _(operator: Primitive, read: tuple[np.ndarray, ...], kept: np.ndarray, axis: int, inputs: tuple[TensorType, ...], output: TensorType) -> Operator:
    return replace(operator, function=resized(operator, inputs, output))
