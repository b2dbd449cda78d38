"""Dot-product instructions as data: what a contraction kernel needs to know about an instruction set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DotProduct:
    """acc[lane] += sum over d < depth of x[d] * w[lane, d], for `lanes` neighbouring output channels.

    intrinsic: name of the TensorIntrin, "" for plain vector code. features: what the CPU must have.
    weight_low: the smallest weight for which the instruction is exact with any input; smaller ones are split in two.
    pair_major: the weights of one vector are stored [depth / 2][lanes][2] instead of [lanes][depth].
    pixels, vectors: the register tile that fills the register file without spilling.
    """

    name: str
    intrinsic: str
    features: frozenset[str]
    x_dtype: str
    w_dtype: str
    acc_dtype: str
    lanes: int
    depth: int
    pixels: int
    vectors: int
    weight_low: int = -(2**15)
    weight_high: int = 2**15 - 1
    pair_major: bool = False


AVX2_PMADDWD = DotProduct("pmaddwd", "avx2_pmaddwd", frozenset({"avx2"}), "int16", "int16", "int32", lanes=8, depth=2, pixels=6, vectors=2)
NEON_SDOT = DotProduct("sdot", "neon_sdot", frozenset({"neon", "dotprod"}), "int8", "int8", "int32", lanes=4, depth=4, pixels=6, vectors=4, weight_low=-128, weight_high=127)
NEON_SMLAL = DotProduct("smlal", "neon_smlal", frozenset({"neon"}), "int8", "int8", "int32", lanes=4, depth=4, pixels=4, vectors=4, weight_low=-127, weight_high=127, pair_major=True)
AVX2_FMA = DotProduct("fma", "", frozenset({"fma"}), "float32", "float32", "float32", lanes=8, depth=1, pixels=6, vectors=2)
NEON_FMLA = DotProduct("fmla", "", frozenset({"neon"}), "float32", "float32", "float32", lanes=4, depth=1, pixels=6, vectors=4)

INTEGER = (NEON_SDOT, NEON_SMLAL, AVX2_PMADDWD)
FLOAT = (AVX2_FMA, NEON_FMLA)


def best(candidates: tuple[DotProduct, ...], features: frozenset[str]) -> DotProduct | None:
    """The first instruction that the CPU has."""
    return next((isa for isa in candidates if isa.features <= features), None)


def split_weights(weight: np.ndarray, isa: DotProduct) -> list[np.ndarray]:
    """Integer weights as the fewest arrays that the instruction takes exactly and that add up to `weight`."""
    if weight.dtype == np.float32:
        return [weight]
    parts, rest = [], weight
    while not parts or rest.any():
        parts.append(np.clip(rest, isa.weight_low, isa.weight_high))
        rest = rest - parts[-1]
    return parts
