"""Remainders and shifts, where TVM's conversion or the machine's instruction is something else for some operands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from tvm import relax

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend.onnx_converters.operands import Converter, Expr


def remainder(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """x - y * trunc(x / y) with fmod, else x - y * floor(x / y), which has the sign of y; infinite y included."""
    x, y = inputs[0], inputs[1]
    if attributes.get("fmod", 0):
        return relax.op.mod(x, y)
    if not str(x.ty.dtype).startswith("float"):
        return relax.op.floor_mod(x, y)
    zero = relax.const(0, str(x.ty.dtype))
    rest = bb.emit(relax.op.mod(x, y))
    signs = bb.normalize(relax.op.logical_xor(bb.normalize(relax.op.less(rest, zero)), bb.normalize(relax.op.less(y, zero))))
    other = bb.normalize(relax.op.logical_and(bb.normalize(relax.op.not_equal(rest, zero)), signs))
    return relax.op.where(other, bb.normalize(relax.op.add(rest, y)), rest)


def bit_shift(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """x shifted by as many bits. Counts that are negative or no less than the width shift everything out, as in NumPy; a machine does it in its own way."""
    x, count = inputs[0], inputs[1]
    dtype, direction = str(count.ty.dtype), attributes.get("direction", b"").decode()
    if direction not in ("LEFT", "RIGHT"):
        raise InvalidModel(f"the direction '{direction}'; it may be LEFT or RIGHT, export the model again")
    width = np.iinfo(dtype).bits
    inside = bb.normalize(relax.op.less(count, relax.const(width, dtype)))
    if dtype.startswith("int"):
        inside = bb.normalize(relax.op.logical_and(inside, bb.normalize(relax.op.greater_equal(count, relax.const(0, dtype)))))
    inside = bb.emit(inside)
    safe = bb.emit(relax.op.where(inside, count, relax.const(width - 1, dtype)))
    shifted = bb.normalize((relax.op.left_shift if direction == "LEFT" else relax.op.right_shift)(x, safe))
    if direction == "RIGHT" and dtype.startswith("int"):
        return shifted  # nothing but copies of the sign is left
    return relax.op.where(inside, shifted, relax.const(0, dtype))


CONVERTERS: dict[str, Converter] = {"BitShift": bit_shift, "Mod": remainder}
