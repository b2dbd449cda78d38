"""How dynamic quantization is written in Relax: R.quantize and R.dequantize by slices of what a packed call gives.

"nnc.dynamic_parameters"(x) and "nnc.dynamic_parameters.symmetric"(x) -> float32 (2, rows): zero points and scales of x's rows, its leading extents.
"nnc.dynamic_pad"(x, parameters, top, left, bottom, right) and "nnc.dynamic_rescale"(acc, parameters, scale, sums) are DynamicPad and
DynamicRescale. These are contracts between passes: no functions exist under those names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relax

from nnc_tvm.relay_passes.graph import operator_name

Expr = Any
Emit = Callable[[Expr], Expr]
PARAMETERS, SYMMETRIC = "nnc.dynamic_parameters", "nnc.dynamic_parameters.symmetric"
PAD, RESCALE = "nnc.dynamic_pad", "nnc.dynamic_rescale"
# between the parameters and what reads one of them
SLICES = frozenset({"relax.strided_slice", "relax.reshape", "relax.astype", "relax.squeeze"})


def packed_name(call: Expr) -> str:
    """The name of the packed function that a call is of; "" for anything else."""
    if operator_name(call) != "relax.call_pure_packed" or not isinstance(call.args[0], relax.ExternFunc):
        return ""
    return str(call.args[0].global_symbol)


def scale_and_zero(emit: Emit, x: Expr, rows: int = 1, symmetric: bool = False) -> tuple[Expr, Expr]:
    """(scale float32, zero point float32), () or (rows,), of x quantized by its range at run time."""
    name = SYMMETRIC if symmetric else PARAMETERS
    parameters = emit(relax.call_pure_packed(name, x, ty_args=[relax.TensorType((2, rows), "float32")]))
    shape = [] if rows == 1 else [rows]
    scale, zero = (emit(relax.op.reshape(emit(relax.op.strided_slice(parameters, axes=[0], begin=[i], end=[i + 1])), shape)) for i in (1, 0))
    return scale, zero


def quantized(emit: Emit, x: Expr, scale: Expr, zero: Expr) -> Expr:
    """x as int8 by parameters of `scale_and_zero`; several lie along the first axis."""
    return emit(relax.op.quantize(x, scale, emit(relax.op.astype(zero, "int8")), axis=0, out_dtype="int8"))


def dequantized(emit: Emit, integers: Expr, scale: Expr, zero: Expr) -> Expr:
    """The reals of `quantized`."""
    return emit(relax.op.dequantize(integers, scale, emit(relax.op.astype(zero, "int8")), axis=0, out_dtype="float32"))


def parameters_of(definition: Callable[[Expr], Expr], call: Expr) -> Expr | None:
    """The parameters by which a quantize or dequantize was made of `scale_and_zero`; None for others.

    definition: what a variable is bound to.
    """
    if operator_name(call) not in ("relax.quantize", "relax.dequantize"):
        return None
    scale, zero = (source_of(definition, argument) for argument in call.args[1:3])
    if scale is None or zero is None or not scale[0].same_as(zero[0]) or (scale[1], zero[1]) != (1, 0):
        return None
    return scale[0]


def source_of(definition: Callable[[Expr], Expr], variable: Expr) -> tuple[Expr, int] | None:
    """(the parameters that it is a row of, which row)."""
    row = None
    while operator_name(definition(variable)) in SLICES:
        call = definition(variable)
        if operator_name(call) == "relax.strided_slice":
            if row is not None:
                return None
            row = int(call.args[2].fields[0].value)
        variable = call.args[0]
    return (variable, row) if row is not None and packed_name(definition(variable)) in (PARAMETERS, SYMMETRIC) else None
