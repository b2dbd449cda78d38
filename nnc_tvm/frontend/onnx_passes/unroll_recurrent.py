"""LSTM, GRU and RNN over a fixed number of steps are written out step by step (ONNX, LSTM, GRU, RNN: the equations are theirs).

What all steps read of the input is one product before the first; each step multiplies by the recurrent weights, which all steps share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.onnx_passes.graph import attributes, infer_shapes, static_shapes
from nnc_tvm.frontend.onnx_passes.rewrite import Replacement, rewrite

DIRECTIONS = ("forward", "reverse", "bidirectional")
MOST_STEPS = 1024
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
# activations without parameters, and the attributes that ONNX gives others by default
ACTIVATIONS: dict[str, dict[str, Any]] = {"sigmoid": {}, "tanh": {}, "relu": {}, "softsign": {}, "softplus": {}, "elu": {"alpha": 1.0},
                                            "leakyrelu": {"alpha": 0.01}, "hardsigmoid": {"alpha": 0.2, "beta": 0.5}}
OPERATORS = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "softsign": "Softsign", "softplus": "Softplus", "elu": "Elu", "leakyrelu": "LeakyRelu",
             "hardsigmoid": "HardSigmoid"}


def unroll_recurrent(model: onnx.ModelProto) -> None:
    """Raises Unsupported for weights computed at run time and forms that are not written out, naming the node."""
    for kind in GATES:
        if any(n.op_type == kind for n in model.graph.node):
            shapes = static_shapes(model)
            rewrite(model, "", kind, lambda r, shapes=shapes: _unroll(r, shapes))  # type: ignore[misc]
            infer_shapes(model)


@dataclass(frozen=True, eq=False)
class Direction:
    """One pass over the steps. recurrent, peepholes, recurrent_bias: names of constants; activations: lower-case, in the operator's order."""

    r: Replacement
    kind: str
    hidden: int
    recurrent: list[str]
    recurrent_bias: str
    peepholes: list[str]
    activations: list[str]
    clip: float
    linear_before_reset: bool

    def gate(self, x: str, number: int) -> str:
        """Columns of gate `number`."""
        bounds = [self.r.constant(np.array([v], np.int64), f"at{v}") for v in (number * self.hidden, (number + 1) * self.hidden)]
        return self.r.emit("Slice", x, *bounds, self.r.constant(np.array([1], np.int64), "columns"))

    def activate(self, number: int, x: str) -> str:
        if self.clip:
            x = self.r.emit("Clip", x, self.r.constant(np.float32(-self.clip), "low"), self.r.constant(np.float32(self.clip), "high"))
        name = self.activations[number]
        return self.r.emit(OPERATORS[name], x, **ACTIVATIONS[name])

    def sum(self, *terms: str) -> str:
        total = terms[0]
        for term in terms[1:]:
            total = self.r.emit("Add", total, term) if term else total
        return total

    def product(self, a: str, b: str) -> str:
        return self.r.emit("Mul", a, b)

    def step(self, x: str, h: str, c: str) -> tuple[str, str]:
        """(h, c) after a step. x: what the input adds to all gates."""
        if self.kind == "RNN":
            return self.activate(0, self.sum(x, self.r.emit("MatMul", h, self.recurrent[0]))), ""
        return self.lstm(x, h, c) if self.kind == "LSTM" else (self.gru(x, h), "")

    def lstm(self, x: str, h: str, c: str) -> tuple[str, str]:
        gates = self.sum(x, self.r.emit("MatMul", h, self.recurrent[0]))
        i, o, f, g = (self.gate(gates, n) for n in range(4))
        if self.peepholes:
            i, f = self.sum(i, self.product(self.peepholes[0], c)), self.sum(f, self.product(self.peepholes[2], c))
        i, f, g = self.activate(0, i), self.activate(0, f), self.activate(1, g)
        c = self.sum(self.product(f, c), self.product(i, g))
        if self.peepholes:
            o = self.sum(o, self.product(self.peepholes[1], c))
        unclipped = Direction(**{**vars(self), "clip": 0.0})
        return self.product(self.activate(0, o), unclipped.activate(2, c)), c

    def gru(self, x: str, h: str) -> str:
        both, candidate = self.recurrent
        read = self.r.emit("MatMul", h, both)
        z, reset = (self.activate(0, self.sum(self.gate(x, n), self.gate(read, n))) for n in range(2))
        if self.linear_before_reset:
            inner = self.product(reset, self.sum(self.r.emit("MatMul", h, candidate), self.recurrent_bias))
        else:
            inner = self.sum(self.r.emit("MatMul", self.product(reset, h), candidate), self.recurrent_bias)
        new = self.activate(1, self.sum(self.gate(x, 2), inner))
        # (1 - z) * new + z * h
        return self.sum(new, self.product(z, self.r.emit("Sub", h, new)))


def _unroll(r: Replacement, shapes: dict[str, tuple[int, ...]]) -> None:
    values, kind, shape = attributes(r.node), r.node.op_type, shapes.get(r.input(0))
    if shape is None or len(shape) != 3:
        raise Unsupported(f"the shape of '{r.input(0)}' is not known; export the model with a fixed number of steps")
    weight, recurrent = r.value(1, "the weights"), r.value(2, "the recurrent weights")
    bias = r.value(3, "the bias") if r.input(3) else np.zeros((len(weight), 2 * weight.shape[1]), np.float32)
    steps, batch, depth = (shape[1], shape[0], shape[2]) if values.get("layout", 0) else shape
    hidden, count = recurrent.shape[-1], GATES[kind]
    direction = values.get("direction", "forward")
    if direction not in DIRECTIONS:
        raise InvalidModel(f"direction '{direction}'; it may be {', '.join(DIRECTIONS)}")
    if values.get("hidden_size", hidden) != hidden:
        raise InvalidModel(f"hidden_size {values['hidden_size']}, but recurrent weights {list(recurrent.shape)}; export the model again")
    directions = 2 if direction == "bidirectional" else 1
    wanted = (directions, count * hidden, depth), (directions, count * hidden, hidden), (directions, 2 * count * hidden)
    if (weight.shape, recurrent.shape, bias.shape) != wanted:
        raise InvalidModel(f"weights {list(weight.shape)}, {list(recurrent.shape)} and a bias {list(bias.shape)}; {directions} directions of {depth} inputs "
                           f"need {[list(w) for w in wanted]}")
    if steps > MOST_STEPS or values.get("input_forget", 0) or "activation_alpha" in values or "activation_beta" in values:
        raise Unsupported(f"{steps} steps, input_forget or parameters of activations; up to {MOST_STEPS} steps without them are written out")
    if r.input(4) and np.any(r.value(4, "the sequences' lengths") != steps):
        raise Unsupported(f"sequences of other lengths than {steps}; export the model without sequence_lens")
    x = r.emit("Transpose", r.input(0), perm=[1, 0, 2]) if values.get("layout", 0) else r.input(0)
    finals, histories = [], []
    for number in range(directions):
        backwards = number == 1 or direction == "reverse"
        history, final = _direction(r, values, (weight[number], recurrent[number], bias[number]), number, x, (steps, batch, hidden), backwards)
        histories.append(history)
        finals.append(final)
    _outputs(r, histories, finals, bool(values.get("layout", 0)))


def _direction(r: Replacement, values: dict[str, Any], weights: tuple[np.ndarray, ...], number: int, x: str, sizes: tuple[int, int, int],
               backwards: bool) -> tuple[list[str], tuple[str, str]]:
    """(h after each step in the input's order, (h, c) at the end)."""
    kind, (weight, recurrent, bias), (steps, batch, hidden) = r.node.op_type, weights, sizes
    count = GATES[kind]
    own, other = bias[: count * hidden], bias[count * hidden:].copy()
    recurrent_bias = ""
    if kind == "GRU":  # the candidate's stays with its product
        recurrent_bias = r.constant(other[2 * hidden:].copy(), f"rb{number}")
        other[2 * hidden:] = 0
    names = [name.lower() for name in values.get("activations", DEFAULTS[kind] * 2)]
    names = [n.decode() if isinstance(n, bytes) else n for n in names]
    per = len(DEFAULTS[kind])
    chosen = names[number * per: (number + 1) * per] or names[:per]
    unknown = [n for n in chosen if n not in ACTIVATIONS]
    if unknown or len(chosen) < per:
        raise Unsupported(f"the activations {', '.join(unknown) or names}; known are {', '.join(sorted(ACTIVATIONS))}")
    parts = [recurrent[: 2 * hidden], recurrent[2 * hidden:]] if kind == "GRU" else [recurrent]
    peepholes = np.split(r.value(7, "the peepholes")[number], 3) if kind == "LSTM" and r.input(7) else []
    d = Direction(r, kind, hidden, [r.constant(np.ascontiguousarray(p.T), f"R{number}_{i}") for i, p in enumerate(parts)], recurrent_bias,
                  [r.constant(p, f"P{number}_{i}") for i, p in enumerate(peepholes)], chosen, float(values.get("clip", 0.0)),
                  bool(values.get("linear_before_reset", 0)))
    read = r.emit("Add", r.emit("MatMul", x, r.constant(np.ascontiguousarray(weight.T), f"W{number}")), r.constant(own + other, f"B{number}"))
    h, c = (_initial(r, values, index, number, (batch, hidden)) if index < 6 or kind == "LSTM" else "" for index in (5, 6))
    history = [""] * steps
    for step in reversed(range(steps)) if backwards else range(steps):
        h, c = d.step(r.emit("Gather", read, r.constant(np.int64(step), f"step{step}"), axis=0), h, c)
        history[step] = h
    return history, (h, c)


def _initial(r: Replacement, values: dict[str, Any], index: int, number: int, shape: tuple[int, int]) -> str:
    """h or c before the first step: (batch, hidden)."""
    if not r.input(index):
        return r.constant(np.zeros(shape, np.float32), "zeros")
    return r.emit("Gather", r.input(index), r.constant(np.int64(number), f"step{number}"), axis=1 if values.get("layout", 0) else 0)


def _outputs(r: Replacement, histories: list[list[str]], finals: list[tuple[str, str]], batch_first: bool) -> None:
    """Y (steps, directions, batch, hidden), and h and c at the end (directions, batch, hidden); the batch comes first in layout 1."""
    wanted = [*r.node.output, "", "", ""][:3]
    direction = r.constant(np.array([1 if batch_first else 0], np.int64), "direction")
    if wanted[0]:
        axis = r.constant(np.array([1, 2] if batch_first else [0, 1], np.int64), "step_and_direction")
        steps = [r.emit("Concat", *(r.emit("Unsqueeze", h, axis) for h in step), axis=2 if batch_first else 1) if len(step) > 1
                 else r.emit("Unsqueeze", step[0], axis) for step in zip(*histories, strict=True)]
        r.emit("Concat", *steps, output=wanted[0], axis=1 if batch_first else 0)
    for name, states in zip(wanted[1:], zip(*finals, strict=True), strict=True):
        if name:
            r.emit("Concat", *(r.emit("Unsqueeze", state, direction) for state in states), output=name, axis=1 if batch_first else 0)
