"""What a converter sees of its operator: operands as Relax expressions, constants as arrays, and how a quantized result is made.

The QDQ form: dequantize every quantized operand, compute in float, quantize the result. Data movement whose input and output share
scale and zero point stays on the integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from tvm import relax

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.tflite_file import Operator, Tensor, TfliteModel
from nnc_tvm.schedules.quantization import QuantParams

Expr = Any
Converter = Callable[["Operands"], "Expr | list[Expr]"]


class Values(Protocol):
    """Where the importer keeps the expressions of tensors."""

    bb: relax.BlockBuilder

    def expression(self, index: int) -> Expr: ...


def dequantize(x: Expr, q: QuantParams) -> Expr:
    return relax.op.dequantize(x, relax.const(q.scale), relax.const(q.zero_point), axis=q.axis, out_dtype="float32")


class Operands:
    def __init__(self, model: TfliteModel, op: Operator, values: Values) -> None:
        self.model, self.op, self.values = model, op, values
        self.bb = values.bb

    def __len__(self) -> int:
        return len(self.op.inputs)

    def has(self, i: int) -> bool:
        """Whether input i is there; optional inputs may be absent."""
        return i < len(self.op.inputs) and self.op.inputs[i] >= 0

    def tensor(self, i: int) -> Tensor:
        if not self.has(i):
            raise InvalidModel(f"input {i} is missing")
        return self.model.tensors[self.op.inputs[i]]

    @property
    def output(self) -> Tensor:
        return self.outputs[0]

    @property
    def outputs(self) -> list[Tensor]:
        return [self.model.tensors[i] for i in self.op.outputs]

    def options(self, kind: type) -> Any:
        """The operator's options. Raises InvalidModel when the file has none, or another operator's."""
        if not isinstance(self.op.options, kind):
            raise InvalidModel(f"its {kind.__name__} are missing: the file is damaged")
        return self.op.options

    def axis(self, value: int, tensor: Tensor) -> int:
        """An axis of `tensor`, counted from the end where it is negative. Raises InvalidModel where there is none."""
        rank = len(tensor.shape)
        if not -rank <= value < rank:
            raise InvalidModel(f"axis {value} of '{tensor.label}' with shape {list(tensor.shape)}; it must be within {-rank}..{rank - 1}, "
                               "convert the model again")
        return value % rank

    def finite(self, value: float, what: str) -> float:
        """`value`. Raises InvalidModel where it is NaN or infinite."""
        if not np.isfinite(value):
            raise InvalidModel(f"{what} is {value:g}; it must be finite, convert the model again")
        return float(value)

    def constant(self, i: int, what: str) -> np.ndarray:
        """The value of constant input i. Raises Unsupported when it is computed at run time."""
        tensor = self.tensor(i)
        if tensor.data is None and 0 not in tensor.shape:
            raise Unsupported(f"{what} ('{tensor.label}') is computed at run time; it must be constant, convert the model with fixed sizes")
        return tensor.data if tensor.data is not None else np.zeros(tensor.shape, tensor.dtype)

    def emit(self, expr: Expr) -> Expr:
        """`expr`, typed."""
        return self.bb.normalize(expr)

    def emit_variable(self, expr: Expr) -> Expr:
        """`expr` bound to a variable: what several expressions read."""
        return self.bb.emit(expr)

    def raw(self, i: int) -> Expr:
        """Input i as it is stored: integers where it is quantized."""
        return self.values.expression(self.tensor(i).index)

    def real(self, i: int) -> Expr:
        """Input i as float32; a constant's integers stay, behind a dequantize."""
        tensor = self.tensor(i)
        x = self.raw(i)
        if tensor.quantization is not None and tensor.dtype != "float32":
            return self.emit(dequantize(x, tensor.quantization))
        return self.emit(relax.op.astype(x, "float32")) if tensor.dtype == "float16" else x

    def result(self, real: Expr, number: int = 0) -> Expr:
        """`real` as output `number` is stored: quantized where that is."""
        tensor = self.outputs[number]
        q = tensor.quantization
        if q is None or tensor.dtype == "float32":
            return real
        if not q.per_tensor:
            raise Unsupported(f"the activation '{tensor.label}' is quantized per channel; activations have one scale")
        return relax.op.quantize(self.emit(real), relax.const(q.scale), relax.const(q.zero_point), axis=0, out_dtype=tensor.dtype)

    def moved(self, i: int, move: Callable[[Expr], Expr], number: int = 0) -> Expr:
        """`move` applied to input i: on the integers where output `number` has the input's scale and zero point, else between them."""
        if same_quantization(self.tensor(i), self.outputs[number]):
            return move(self.raw(i))
        return self.result(move(self.real(i)), number)


def same_quantization(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors stand for the same reals element by element; true for two that are not quantized."""
    p, q = a.quantization, b.quantization
    if p is None or q is None:
        return a.dtype == b.dtype
    return a.dtype == b.dtype and np.array_equal(p.scale, q.scale) and np.array_equal(p.zero_point, q.zero_point)
