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


# dtype -> (its C type, from where on its numbers are integers, the integer type that holds all below, the suffix of literals)
FLOATS = {"float32": ("float", "8388608.0f", "int32_t", "f"), "float64": ("double", "4503599627370496.0", "int64_t", "")}


def _round_half_even() -> dict[str, str]:
    """To an integer, halves to the even one; differences from the integer below it are exact."""
    text = """static inline {c} round_half_even_{dtype}({c} x)
{{
    {integer} whole;
    {c} rest;
    if (!(x > -{limit} && x < {limit})) return x;
    whole = ({integer})x;
    rest = x - ({c})whole;
    whole += rest > 0.5{f} || (rest == 0.5{f} && whole % 2 != 0);
    whole -= rest < -0.5{f} || (rest == -0.5{f} && whole % 2 != 0);
    return ({c})whole;
}}
"""
    return {f"round_half_even_{dtype}": text.format(dtype=dtype, c=c, limit=limit, integer=i, f=f) for dtype, (c, limit, i, f) in FLOATS.items()}


def _rounded() -> dict[str, str]:
    """To integers, in one direction."""
    text = """static inline {c} {name}_{dtype}({c} x)
{{
    {c} whole;
    if (!(x > -{limit} && x < {limit})) return x;
    whole = ({c})({integer})x;
    return {result};
}}
"""
    results = {"round_half_away": "x - whole >= 0.5{f} ? whole + 1.0{f} : x - whole <= -0.5{f} ? whole - 1.0{f} : whole",
               "rounded_to_zero": "whole", "rounded_down": "whole > x ? whole - 1.0{f} : whole", "rounded_up": "whole < x ? whole + 1.0{f} : whole"}
    return {
        f"{name}_{dtype}": text.format(name=name, dtype=dtype, c=c, limit=limit, integer=i, result=result.format(f=f))
        for name, result in results.items() for dtype, (c, limit, i, f) in FLOATS.items()
    }


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
    **_extremes(), **_divisions(), **_saturating(), **_rounded(), **_round_half_even(), "leading_zeros_int32": LEADING_ZEROS,
    "bits_from_float32": BITS.format(to="int32_t", dtype="float32", c="float"), "bits_from_int32": BITS.format(to="float", dtype="int32", c="int32_t"),
}
