"""Building Relax modules in tests, and comparing them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relax

Expr = Any
Inputs = dict[str, tuple[tuple[int, ...], str]]


class Builder:
    """The operators of QDQ graphs, each bound to a variable."""

    def __init__(self, bb: relax.BlockBuilder) -> None:
        self.bb = bb

    def __call__(self, call: Expr) -> Expr:
        return self.bb.emit(call)

    def quantize(self, x: Expr, scale: float, zero: int = 0, dtype: str = "int8") -> Expr:
        return self(relax.op.quantize(x, relax.const(np.float32(scale)), relax.const(np.int32(zero)), axis=0, out_dtype=dtype))

    def dequantize(self, x: Expr, scale: float, zero: int = 0) -> Expr:
        return self(relax.op.dequantize(x, relax.const(np.float32(scale)), relax.const(np.int32(zero)), axis=0, out_dtype="float32"))


Body = Callable[..., Any]
"""body(builder, *inputs) -> the output, or a list of them."""


def module_of(inputs: Inputs, body: Body) -> tvm.IRModule:
    """The module whose "main" is `body` over `inputs`: name -> (shape, dtype)."""
    bb = relax.BlockBuilder()
    parameters = [relax.Var(name, relax.TensorType(shape, dtype)) for name, (shape, dtype) in inputs.items()]
    with bb.function("main", parameters):
        with bb.dataflow():
            result = body(Builder(bb), *parameters)
            output = bb.emit_output(relax.Tuple(result) if isinstance(result, list) else result)
        bb.emit_func_output(output)
    return bb.finalize()


def assert_becomes(apply: Callable[[tvm.IRModule], tvm.IRModule], inputs: Inputs, before: Body, after: Body, **attributes: int) -> None:
    """`apply` makes `after` of `before`, up to the names of variables and what nothing reads. attributes: what it notes on "main"."""
    found = relax.transform.DeadCodeElimination(["main"])(apply(module_of(inputs, before)))
    wanted = relax.transform.DeadCodeElimination(["main"])(module_of(inputs, after))
    for name, value in attributes.items():
        wanted["main"] = wanted["main"].with_attr(name.replace("__", "."), value)
    # bindings of one value to two names are the same graph
    found, wanted = (relax.transform.CanonicalizeBindings()(m) for m in (found, wanted))
    try:
        tvm.ir.assert_structural_equal(found, wanted)
    except ValueError as error:
        raise AssertionError(f"found:\n{found.script()}\nwanted:\n{wanted.script()}\n{error}") from error
