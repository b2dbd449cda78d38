"""PT2E's quantized_decomposed operators as R.quantize and R.dequantize, by constants or by parameters of the run.

Their meaning (torch/ao/quantization/fx/_decomposed.py): q = clamp(rint(x / scale) + zero_point, quant_min, quant_max), real = scale * (q - zero_point).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.relay_passes import dynamic_calls
from nnc_tvm.relay_passes.graph import constant

Expr = Any
Node = Any
RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int32": (-(2**31), 2**31 - 1)}
ACTIVATIONS = ("int8", "uint8")  # what activations that are quantized at run time may be; either is int8 here


def number(value: Any, env: dict[Node, Any]) -> np.ndarray:
    """A scale or zero point: a Python number, or a constant tensor. Raises Unsupported where it is computed at run time."""
    if isinstance(value, (int, float)):
        return np.asarray(value)
    known = constant(env.get(value))
    if known is None:
        raise Unsupported("its scale is computed at run time, but not by choose_qparams; calibrate with static quantization")
    return known


def parameters(node: Node, env: dict[Node, Any], dtype: str) -> tuple[Expr, Expr]:
    """(scale, zero point) as constants. Raises InvalidModel for scales that are not finite and > 0 and zero points out of range."""
    scale, zero = number(node.args[1], env).astype(np.float32), number(node.args[2], env).astype(np.int64)
    if not np.all(np.isfinite(scale) & (scale > 0)):
        raise InvalidModel(f"a scale of {scale.reshape(-1)[~(np.isfinite(scale) & (scale > 0)).reshape(-1)][0]}; scales are finite and > 0: calibrate again")
    low, high = RANGES[dtype]
    if zero.min() < low or zero.max() > high:
        raise InvalidModel(f"a zero point of {zero.min() if zero.min() < low else zero.max()}, outside {dtype}")
    shape = () if scale.size == 1 else (-1,)
    return relax.const(scale.reshape(shape)), relax.const(zero.astype(dtype).reshape(shape))


def choose_parameters(node: Node, importer: Any) -> list[Expr]:
    """Scale and zero point by the range that x has at run time, of integers that are int8, unsigned ones too. Raises Unsupported for parts of a type's range.

    Scales below `eps` (the argument, about 1e-7) are not raised to it: such a tensor is rounded more finely than PyTorch does.
    """
    low, high, dtype = int(node.args[1]), int(node.args[2]), str(node.args[4]).removeprefix("torch.")
    if dtype not in ACTIVATIONS or (low, high) != RANGES[dtype]:
        raise Unsupported(f"a range of {low}..{high} of {dtype}, chosen at run time; quantize to all of int8 or uint8")
    return list(dynamic_calls.scale_and_zero(importer.block_builder.emit, importer.env[node.args[0]]))


def at_run_time(node: Node, importer: Any) -> tuple[Expr, Expr] | None:
    """(scale, zero point) that `choose_parameters` made; None for constants."""
    chosen = [importer.env.get(value) if hasattr(value, "op") else None for value in node.args[1:3]]
    if any(value is None or constant(value) is not None for value in chosen):
        return None
    scale, zero = chosen
    return scale, zero


def integer_type(node: Node, position: int) -> tuple[str, int, int]:
    """(dtype, quant_min, quant_max) of the integers. Raises Unsupported for dtypes other than int8, uint8 and int32."""
    dtype = str(node.args[position + 2]).removeprefix("torch.")
    if dtype not in RANGES:
        raise Unsupported(f"quantization to {dtype}; int8 and uint8 can be compiled")
    return dtype, int(node.args[position]), int(node.args[position + 1])


def quantize(axis: int | None) -> Callable[[Node, Any], Expr]:
    """axis: the argument that holds the channel axis, None per tensor."""

    def convert(node: Node, importer: Any) -> Expr:
        dtype, low, high = integer_type(node, 3 if axis is None else 4)
        channel = -1 if axis is None else int(node.args[axis])
        x = importer.env[node.args[0]]
        found = at_run_time(node, importer)
        if found is not None:
            return dynamic_calls.quantized(importer.block_builder.emit, x, *found)
        scale, zero = parameters(node, importer.env, dtype)
        y = importer.block_builder.emit(relax.op.quantize(x, scale, zero, axis=channel, out_dtype=dtype))
        if (low, high) != RANGES[dtype]:
            y = importer.block_builder.emit(relax.op.clip(y, low, high))
        return y

    return convert


def dequantize(axis: int | None) -> Callable[[Node, Any], Expr]:
    """As `quantize`."""

    def convert(node: Node, importer: Any) -> Expr:
        dtype, _, _ = integer_type(node, 3 if axis is None else 4)
        channel = -1 if axis is None else int(node.args[axis])
        found = at_run_time(node, importer)
        if found is not None:
            return dynamic_calls.dequantized(importer.block_builder.emit, importer.env[node.args[0]], *found)
        scale, zero = parameters(node, importer.env, dtype)
        return importer.block_builder.emit(relax.op.dequantize(importer.env[node.args[0]], scale, zero, axis=channel, out_dtype="float32"))

    return convert


CONVERTERS: dict[str, Callable[[Node, Any], Any]] = {
    "choose_qparams.tensor": choose_parameters,
    "quantize_per_tensor.default": quantize(None), "quantize_per_tensor.tensor": quantize(None), "quantize_per_tensor.tensor2": quantize(None),
    "quantize_per_channel.default": quantize(3),
    "dequantize_per_tensor.default": dequantize(None), "dequantize_per_tensor.tensor": dequantize(None), "dequantize_per_tensor.tensor2": dequantize(None),
    "dequantize_per_channel.default": dequantize(3),
}
