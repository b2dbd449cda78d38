"""Small C functions that printed kernels call, by name: "smaller_int32" is min() of int32. Only those that are called are written."""

from __future__ import annotations

from nnc_tvm.package.emit_header import C_TYPES


def _extremes() -> dict[str, str]:
    """min and max, the second operand where neither is smaller, as LLVM's comparison and selection have it."""
    return {
        f"{name}_{dtype}": f"static inline {c} {name}_{dtype}({c} a, {c} b)\n{{\n    return a {sign} b ? a : b;\n}}\n"
        for dtype, c in C_TYPES.items() for name, sign in (("smaller", "<"), ("larger", ">"))
    }


def _divisions() -> dict[str, str]:
    """Division that rounds down, and its remainder; b > 0."""
    made = {}
    for dtype in ("int32", "int64"):
        c = C_TYPES[dtype]
        made[f"floor_div_{dtype}"] = f"static inline {c} floor_div_{dtype}({c} a, {c} b)\n{{\n    return a >= 0 ? a / b : -1 - (-1 - a) / b;\n}}\n"
        made[f"floor_mod_{dtype}"] = f"static inline {c} floor_mod_{dtype}({c} a, {c} b)\n{{\n    return a % b >= 0 ? a % b : a % b + b;\n}}\n"
    return made


def _saturating() -> dict[str, str]:
    """Sums of int8 and int16 that stay within their type."""
    made = {}
    for dtype, high in (("int8", 127), ("int16", 32767)):
        c = C_TYPES[dtype]
        made[f"add_saturating_{dtype}"] = (
            f"static inline {c} add_saturating_{dtype}({c} a, {c} b)\n{{\n    const int32_t sum = a + b;\n"
            f"    return ({c})(sum > {high} ? {high} : sum < -{high} - 1 ? -{high} - 1 : sum);\n}}\n")
    return made


ROUND_HALF_EVEN = """/* to an integer, halves to the even one; differences from the integer below it are exact */
static inline float round_half_even_float32(float x)
{
    int32_t whole;
    float rest;
    if (!(x > -8388608.0f && x < 8388608.0f)) return x;
    whole = (int32_t)x;
    rest = x - (float)whole;
    whole += rest > 0.5f || (rest == 0.5f && whole % 2 != 0);
    whole -= rest < -0.5f || (rest == -0.5f && whole % 2 != 0);
    return (float)whole;
}
"""

def _rounded() -> dict[str, str]:
    """To integers; floats from 2^23 on are integers already."""
    text = """static inline float {name}_float32(float x)
{{
    float whole;
    if (!(x > -8388608.0f && x < 8388608.0f)) return x;
    whole = (float)(int32_t)x;
    return {result};
}}
"""
    results = {"round_half_away": "x - whole >= 0.5f ? whole + 1.0f : x - whole <= -0.5f ? whole - 1.0f : whole",
               "rounded_to_zero": "whole", "rounded_down": "whole > x ? whole - 1.0f : whole", "rounded_up": "whole < x ? whole + 1.0f : whole"}
    return {f"{name}_float32": text.format(name=name, result=result) for name, result in results.items()}


LEADING_ZEROS = """static inline int32_t leading_zeros_int32(int32_t a)
{
    uint32_t bits = (uint32_t)a;
    int32_t count = 32;
    while (bits != 0) {
        bits >>= 1;
        count--;
    }
    return count;
}
"""

BITS = """static inline {to} bits_from_{dtype}({c} a)
{{
    {to} b;
    memcpy(&b, &a, sizeof b);
    return b;
}}
"""

HELPERS: dict[str, str] = {
    **_extremes(), **_divisions(), **_saturating(), **_rounded(), "round_half_even_float32": ROUND_HALF_EVEN, "leading_zeros_int32": LEADING_ZEROS,
    "bits_from_float32": BITS.format(to="int32_t", dtype="float32", c="float"), "bits_from_int32": BITS.format(to="float", dtype="int32", c="int32_t"),
}
