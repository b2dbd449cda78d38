"""Structured pruning: channels that nothing needs leave the program, with their filters, biases and activations.

1. Forwards: which channels are constant (constant_channels.py); what reads them takes them into its bias and has zero weights for them.
2. Backwards: which channels are needed. A convolution or dense layer needs those it has weights for; an operator that keeps channels apart
   ties its inputs' to its output's, so that all tensors of a residual sum keep the same ones, whoever needs them.
3. What is left is a smaller program with the same outputs: integers are equal, floats to the rounding of sums.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeGuard

import numpy as np

import nnc_tvm.relay_passes.elementwise_primitives  # noqa: F401  (registers)
from nnc_tvm.relay_passes.channels import NHWC, NOT_FROM_HERE, Route, channels, trace
from nnc_tvm.relay_passes.constant_channels import Constants, constants_of, fold, of_zero_filters, through
from nnc_tvm.relay_passes.program import Layer, Program
from nnc_tvm.relay_passes.restrict_channels import restrict, restrict_type
from nnc_tvm.schedules.operators import Conv2d, Dense, Operator


def is_sum(operator: Operator) -> TypeGuard[Conv2d | Dense]:
    """Whether every output channel is a sum over all of the last axis of the input, by weights that are known."""
    return isinstance(operator, Dense) or (isinstance(operator, Conv2d) and operator.groups == 1)


class Shrinking:
    """State of one program. axes: of each value's channels, from the right; needed: bool (channels,) for each value."""

    def __init__(self, program: Program, multiple: int, most: float) -> None:
        self.program, self.multiple, self.most = program, multiple, most
        self.axes = {name: NHWC for name in (*program.inputs, *program.constants)}
        self.layers: list[Layer] = []
        self.routes: list[Route | None] = []
        self.constant = {name: constants_of(array, NHWC) for name, array in program.constants.items()}
        for name in program.inputs:
            self.constant[name] = self.nothing_known(name)

    def count(self, name: str) -> int:
        return channels(self.program.values[name].type, self.axes[name])

    def nothing_known(self, name: str) -> Constants:
        return Constants.none(self.count(name), self.program.values[name].type.dtype)

    def sums_over(self, name: str) -> bool:
        """Whether a value that is summed over its last axis has its channels there."""
        return self.axes[name] == NHWC

    def forwards(self) -> None:
        """Finds routes and constants, and folds these into what reads them."""
        for layer in self.program.layers:
            operator = layer.operator
            axes = tuple(self.axes[name] for name in layer.inputs)
            inputs = tuple(self.constant[name] for name in layer.inputs)
            route = trace(operator, axes)
            self.axes[layer.output] = route.axis if route else NHWC
            if is_sum(operator):
                operator = fold(operator, inputs[0]) if self.sums_over(layer.inputs[0]) else operator
                self.constant[layer.output] = of_zero_filters(operator, np.asarray(~operator.weight.reshape(len(operator.weight), -1).any(1)))
            else:
                self.constant[layer.output] = through(operator, axes, route, inputs) if route else self.nothing_known(layer.output)
            self.layers.append(replace(layer, operator=operator))
            self.routes.append(route)

    def backwards(self) -> dict[str, np.ndarray]:
        """The channels that each value keeps: the least that satisfies every layer, widened to what kernels like."""
        needed = {name: np.zeros(self.count(name), bool) for name in self.axes}
        for name in (*self.program.inputs, *self.program.outputs):
            needed[name][:] = True
        steps = list(zip(self.layers, self.routes, strict=True))[::-1]
        while True:
            before = sum(int(n.sum()) for n in needed.values())
            for layer, route in steps:
                self.spread(layer, route, needed)
            if sum(int(n.sum()) for n in needed.values()) == before:
                narrow = next((n for n in needed.values() if n.sum() < self.width(n)), None)
                if narrow is None:
                    return needed
                narrow[np.flatnonzero(~narrow)[:self.width(narrow) - narrow.sum()]] = True

    def width(self, needed: np.ndarray) -> int:
        """How many channels a tensor should have that needs these: one at least."""
        wide = max(-(-int(needed.sum()) // self.multiple), 1) * self.multiple
        return wide if wide <= self.most * len(needed) else len(needed)

    def spread(self, layer: Layer, route: Route | None, needed: dict[str, np.ndarray]) -> None:
        """What one layer asks of its inputs and its output."""
        output = needed[layer.output]
        operator = layer.operator
        if is_sum(operator):
            source = layer.inputs[0]
            needed[source] |= operator.weight[output].reshape(-1, operator.weight.shape[-1]).any(0) if self.sums_over(source) else True
            return
        if route is None:
            for name in (*layer.inputs, layer.output):
                needed[name][:] = True
            return
        for name, channel in zip(layer.inputs, route.sources, strict=True):
            if channel is None:
                needed[name][:] = True
                continue
            here = channel != NOT_FROM_HERE
            needed[name][channel[here & output]] = True
            output[here] |= needed[name][channel[here]]

    def shrunk(self) -> Program:
        self.forwards()
        needed = self.backwards()
        if all(n.all() for n in needed.values()):
            return self.program
        kept = {name: np.flatnonzero(n) for name, n in needed.items()}
        values = {name: replace(value, type=restrict_type(value.type, self.axes[name], kept[name])) for name, value in self.program.values.items()}
        constants = {name: array if not array.ndim else np.ascontiguousarray(np.take(array, kept[name], axis=self.axes[name]))
                     for name, array in self.program.constants.items()}
        layers = tuple(self.smaller(layer, before, kept) for layer, before in zip(self.layers, self.program.layers, strict=True))
        return replace(self.program, values=values, layers=layers, constants=constants)

    def smaller(self, layer: Layer, before: Layer, kept: dict[str, np.ndarray]) -> Layer:
        names = (*layer.inputs, layer.output)
        if all(len(kept[name]) == self.count(name) for name in names):
            return before
        axes = tuple(NHWC if is_sum(layer.operator) else self.axes[name] for name in layer.inputs)
        read = tuple(kept[name] if self.axes[name] == axis else None for name, axis in zip(layer.inputs, axes, strict=True))
        operator = restrict(layer.operator, axes, read, self.axes[layer.output], kept[layer.output])
        if not operator.weight_bytes or not operator.macs:
            return replace(layer, operator=operator)
        source, output = (f"{len(kept[name])} of {self.count(name)}" for name in (layer.inputs[0], layer.output))
        return replace(layer, operator=operator, form="structured", note=f"{output} output and {source} input channels; the others are constant or unread")


def shrink_channels(program: Program, multiple: int = 1, most: float = 1) -> Program:
    """The pass: Program -> Program with the same outputs; the very same object where nothing leaves.

    multiple: what the channels that a tensor keeps are rounded up to. most: the largest part of a tensor's channels that is worth taking the
    others out for, or it keeps them all.
    """
    return Shrinking(program, multiple, most).shrunk()
