"""Weights with a scale per block of elements along an axis become float constants, as which they reach every operator.

Kernels find 4-bit integers and scales in them again (schedules/integer_blocks.py) and store those.

DequantizeLinear with `block_size` (ONNX, opset 21) and com.microsoft.MatMulNBits (ONNX Runtime, docs/ContribOperators.md).
"""

from __future__ import annotations

import numpy as np
import onnx

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.onnx_passes.graph import attributes
from nnc_tvm.frontend.onnx_passes.rewrite import MICROSOFT, Replacement, rewrite


def dequantize_blocks(model: onnx.ModelProto) -> None:
    rewrite(model, "", "DequantizeLinear", _dequantize_linear)
    rewrite(model, MICROSOFT, "MatMulNBits", _matmul_n_bits)


def _dequantize_linear(r: Replacement) -> None:
    """Other DequantizeLinear nodes stay as they are."""
    values = attributes(r.node)
    block = values.get("block_size", 0)
    if block == 0:
        r.nodes.append(r.node)
        return
    x, scale = r.value(0, "a tensor with blocked scales"), r.value(1, "a blocked scale")
    zero = r.value(2, "a blocked zero point") if r.input(2) else np.zeros(scale.shape, np.int32)
    axis = values.get("axis", 1)
    if not -x.ndim <= axis < x.ndim or scale.ndim != x.ndim or zero.shape != scale.shape or block < 0:
        raise InvalidModel(f"blocks of {block} on axis {axis} of {list(x.shape)} with scales {list(scale.shape)} and zero points {list(zero.shape)}")
    extent = x.shape[axis]
    wanted = [*x.shape]
    wanted[axis] = -(-extent // block)
    if list(scale.shape) != wanted:
        raise InvalidModel(f"scales of shape {list(scale.shape)} for blocks of {block} on axis {axis} of {list(x.shape)}; they need {wanted}")
    spread_scale, spread_zero = (np.take(np.repeat(v, block, axis=axis), np.arange(extent), axis=axis) for v in (scale, zero))
    real = _product((x.astype(np.int32) - spread_zero.astype(np.int32)).astype(np.float32), _finite(spread_scale, "blocked scales"))
    r.emit("Identity", r.constant(real, "real"), output=r.node.output[0])


def _finite(values: np.ndarray, what: str) -> np.ndarray:
    """`values` in float32. Raises InvalidModel where one is not finite there."""
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.all(np.isfinite(values)):
        raise InvalidModel(f"{what} hold NaN or infinite values; quantize the model again")
    return values


def _product(integers: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Integers times their scales. Raises InvalidModel where a product is beyond float32."""
    with np.errstate(over="ignore"):
        real = integers * scale
    if not np.all(np.isfinite(real)):
        raise InvalidModel(f"the blocked scale {np.abs(scale).max():g} makes weights beyond float32; quantize the model again")
    return np.asarray(real)


def _unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    """uint8 (..., bytes) as (..., bytes * 8 / bits) unsigned integers, low bits first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return ((packed[..., None] >> shifts) & np.uint8((1 << bits) - 1)).reshape(*packed.shape[:-1], -1)


def _matmul_n_bits(r: Replacement) -> None:
    """y = A @ dequantize(B)^T. Inputs: A, B (N, blocks, bytes) packed, scales, zero points (optional, packed or real), g_idx, bias (both optional)."""
    values = attributes(r.node)
    k, n, bits, block = (int(values.get(name, default)) for name, default in (("K", 0), ("N", 0), ("bits", 4), ("block_size", 0)))
    if bits not in (2, 4, 8) or k <= 0 or n <= 0 or block <= 0:
        raise Unsupported(f"{bits} bits, blocks of {block}, K {k} and N {n}; 2, 4 and 8 bits with positive sizes can be read")
    if r.input(4):
        raise Unsupported("g_idx reorders the channels; quantize the model without it")
    blocks = -(-k // block)
    packed, scale = r.value(1, "the weights").astype(np.uint8), _finite(r.value(2, "the scales"), "the scales")
    if packed.size != n * blocks * block * bits // 8 or scale.size != n * blocks:
        raise InvalidModel(f"{packed.size} bytes of weights and {scale.size} scales for N {n}, K {k} and blocks of {block}")
    integers = _unpacked(packed.reshape(n, blocks, -1), bits).astype(np.float32)
    zero = _zero_points(r, n, blocks, bits)
    real = _product(integers - zero[..., None], scale.reshape(n, blocks, 1)).reshape(n, -1)[:, :k]
    product = r.emit("MatMul", r.input(0), r.constant(np.ascontiguousarray(real.T), "weight"), output="" if r.input(5) else r.node.output[0])
    if r.input(5):
        r.emit("Add", product, r.input(5), output=r.node.output[0])


def _zero_points(r: Replacement, n: int, blocks: int, bits: int) -> np.ndarray:
    """(N, blocks): half the range by default; packed by rows, or one real value per block."""
    if not r.input(3):
        return np.full((n, blocks), 1 << (bits - 1), np.float32)
    zero = r.value(3, "the zero points")
    packed = zero.dtype == np.uint8
    if zero.size != n * (-(-blocks * bits // 8) if packed else blocks):
        raise InvalidModel(f"{zero.size} {'bytes of ' if packed else ''}zero points for {n} rows of {blocks} blocks; quantize the model again")
    if not packed:
        return _finite(zero, "the zero points").reshape(n, blocks)
    rows = _unpacked(zero.reshape(n, -1), bits)
    return rows[:, :blocks].astype(np.float32)
