"""The kernel of a chain: a loop over bands around the kernels of its links, which are those of contractions and depthwise convolutions.

for every image, for every step: for every link: the new rows go into its window; its kernel computes a band from that
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.operators import TensorType
from nnc_tvm.schedules.rules.chain_plan import Bands, Link, Reading
from nnc_tvm.schedules.statements import condition


def chain_kernel(bands: Bands, reads: Sequence[Reading], kernels: Sequence[Any], input_: TensorType, output: TensorType) -> Any:
    """PrimFunc (x, [residual,] constants of every kernel..., `bands.scratch(reads)`..., y).

    kernels: for each link the PrimFunc (x, [residual,] constants..., y) of its band, as `chain_links` makes it.
    """
    calls: list[tuple[Any, list[Any]]] = []
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_attr({"tirx.noalias": True})
            x = T.arg("x", T.buffer((input_.elements,), input_.dtype))
            adds = [link.adds for link in bands.links]
            residual = T.arg("residual", T.buffer((output.elements,), output.dtype)) if adds[-1] else None
            constants = [[T.arg(f"{p.name}_{k}", T.buffer(tuple(p.shape), str(p.dtype))) for p in kernel.params[1 + add:-1]]
                         for k, (kernel, add) in enumerate(zip(kernels, adds, strict=True))]
            scratch = iter([T.arg(f"scratch_{k}", T.buffer(t.shape, t.dtype)) for k, t in enumerate(bands.scratch(reads))])
            windows, results = [], []
            for link, read in zip(bands.links, reads, strict=True):
                windows.append(None if link.reads_source(read) else next(scratch))
                results.append(None if link is bands.links[-1] and not bands.stores_parts else next(scratch))
            y = T.arg("y", T.buffer((output.elements,), output.dtype))
            with T.sblock("chain"):
                T.reads()
                T.writes()
                with (T.parallel if bands.images > 1 else T.serial)(bands.images) as image:
                    for k, (link, window) in enumerate(zip(bands.links, windows, strict=True)):
                        if window is not None and link.bordered:
                            fill(window, 0, int(window.shape[0]), link.border + reads[k].offset)
                        if window is not None and link.delay < 0:
                            read_ahead(link, window, x, image, reads[k].offset)
                    with (T.parallel if bands.independent else T.serial)(bands.steps) as step:
                        source = x
                        at = tirx.Min(step * bands.rows, bands.links[0].rows - bands.rows)  # of pointwise links, whose rows are alike
                        for k, link in enumerate(bands.links):
                            start = at if bands.overlap else step * link.out_step - link.out_delay
                            result, place = results[k], (image * link.out_rows + start) * link.out_row
                            to = y if result is None else result
                            first = (image * link.rows + (at if bands.overlap else step * link.step - link.delay)) * link.row if k == 0 else 0
                            window = windows[k]
                            slot = step % link.slots
                            if window is not None:
                                append(link, window, source, first, step, slot, bands, reads[k].offset)
                            always = bands.overlap or link.out_delay == 0 and bands.steps * link.out_step <= link.out_rows
                            with condition(tirx.all(start > -link.out_step, start < link.out_rows), not always):
                                parameters = kernels[k].params
                                calls.append((kernels[k], [
                                    view(parameters[0], *((source, first) if window is None else (window, slot * link.step * link.pitch)), reads[k]),
                                    *([view(parameters[1], residual, place)] if adds[k] else []), *constants[k],
                                    view(parameters[-1], to, place if result is None else 0)]))
                                T.evaluate(T.call_extern("int32", str(len(calls) - 1)))
                            source = to
                        if bands.stores_parts:
                            store(bands.links[-1], y, place, source, start)
        return insert(builder.get(), calls)


def view(parameter: Any, buffer: Any, offset: Any, reads: Reading | None = None) -> Any:
    """`buffer` from `offset` on, as a kernel's `parameter` has it."""
    strides = (reads.elements, *reads.view[1]) if reads is not None and reads.view is not None else None
    return T.decl_buffer(tuple(parameter.shape), str(parameter.dtype), data=buffer.data, strides=strides, elem_offset=offset)


def read_ahead(link: Link, window: Any, x: Any, image: Any, offset: int) -> None:
    """Puts the first rows of an image, which come before the first step's, at the end of the window, from where that step moves them."""
    above = link.slots * link.step + link.carry + link.delay
    with T.serial(min(-link.delay, link.rows)) as r:
        move(window, (above + r) * link.pitch + link.left, x, (image * link.rows + r) * link.row, min(link.row, link.pitch - link.left), offset)


def append(link: Link, window: Any, source: Any, first: Any, step: Any, slot: Any, bands: Bands, offset: int) -> None:
    """Behind what stays in the window come the rows of `source` from element `first` on, or borders, plus `offset`.

    slot: how many steps' rows lie before what stays; before the first one that is moved to the window's beginning.
    """
    if link.carry:
        with condition(slot == 0, link.slots > 1), T.serial(link.carry * link.pitch) as e:
            T.buffer_store(window, window[e + link.slots * link.step * link.pitch], [e])
    copied = min(link.row, link.pitch - link.left)
    inside = bands.overlap or link.delay == 0 and bands.steps * link.step <= link.rows
    with T.serial(link.step) as r:
        row = step * link.step - link.delay + r
        begin = (slot * link.step + link.carry + r) * link.pitch
        if inside:
            move(window, begin + link.left, source, first + r * link.row, copied, offset)
        else:
            with T.If(tirx.all(row >= 0, row < link.rows)):
                with T.Then():
                    move(window, begin + link.left, source, first + r * link.row, copied, offset)
                with T.Else():
                    fill(window, begin + link.left, copied, link.border + offset)


def store(link: Link, y: Any, place: Any, band: Any, start: Any) -> None:
    """The rows of the last link's `band` that exist; its first one is row `start` of the image and belongs to y[place]."""
    with T.serial(link.out_step) as r, T.If(tirx.all(start + r >= 0, start + r < link.out_rows)), T.Then():
        move(y, place + r * link.out_row, band, r * link.out_row, link.out_row)


def move(window: Any, place: Any, source: Any, first: Any, count: int, offset: int = 0) -> None:
    """`count` elements of `source` plus `offset`, in the window's type."""
    dtype = str(window.dtype)
    with T.serial(count) as e:
        value = T.Cast(dtype, source[first + e])
        T.buffer_store(window, value + T.Cast(dtype, offset) if offset else value, [place + e])


def fill(window: Any, place: Any, count: int, value: float) -> None:
    """`count` times the value."""
    with T.serial(count) as e:
        T.buffer_store(window, T.Cast(str(window.dtype), value), [place + e])


def insert(function: Any, calls: Sequence[tuple[Any, list[Any]]]) -> Any:
    """`function` with the bodies of kernels, over the given buffers, where their numbers are called."""

    def body(node: tirx.Evaluate) -> Any:
        kernel, buffers = calls[int(node.value.args[0].value)]
        given = dict(zip(kernel.params, buffers, strict=True))
        return tvm_ffi.structural_map(kernel.body, (tvm.ir.Var, lambda var: given.get(var, var)))

    return tirx.PrimFunc(function.params, tvm_ffi.structural_map(function.body, (tirx.Evaluate, body)), function.ret_type, attrs=function.attrs)
