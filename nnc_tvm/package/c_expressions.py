"""Expressions of lowered PrimFuncs as C99.

Integers wrap around as TVM means them to: sums, differences, products and left shifts are formed in the unsigned type. Indices are
plain ints. Memory is only read as the type it holds.
"""

from __future__ import annotations

import math
import re
from functools import singledispatchmethod
from typing import Any

import tvm
from tvm import tirx

from nnc_tvm.errors import Unsupported
from nnc_tvm.package.c_helpers import HELPERS
from nnc_tvm.package.emit_header import C_TYPES, c_float
from nnc_tvm.schedules.operators.operator import ITEM_BYTES

LIBM = {name: {"float32": f"{called}f", "float64": called} for name, called in {
    **{same: same for same in ("exp", "exp2", "exp10", "log", "log2", "log10", "log1p", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "asin", "acos",
                               "atan", "asinh", "acosh", "atanh", "atan2", "erf", "pow", "fmod", "hypot", "nearbyint")},
    "fabs": "fabs", "round": "nearbyint"}.items()}
"""The function of C for each dtype."""
LLVM_NAME = tvm.get_global_func("target.llvm_get_intrinsic_name")
INTRINSICS = {"llvm.roundeven": "round_half_even", "llvm.round": "round_half_away", "llvm.ctlz": "leading_zeros", "llvm.sadd.sat": "add_saturating"}
"""LLVM's intrinsics that the rules use on every CPU, as helpers."""
ROUNDED = {"trunc": "rounded_to_zero", "floor": "rounded_down", "ceil": "rounded_up"}
COMPARISONS = {tirx.EQ: "==", tirx.NE: "!=", tirx.LT: "<", tirx.LE: "<=", tirx.GT: ">", tirx.GE: ">=", tirx.And: "&&", tirx.Or: "||"}
WRAPPING = {tirx.Add: "+", tirx.Sub: "-", tirx.Mul: "*", tirx.LShift: "<<"}
PLAIN = {tirx.BitwiseAnd: "&", tirx.BitwiseOr: "|", tirx.BitwiseXor: "^", tirx.RShift: ">>", tirx.Div: "/", tirx.Mod: "%"}
CALLED = {tirx.Min: "smaller", tirx.Max: "larger", tirx.FloorDiv: "floor_div", tirx.FloorMod: "floor_mod"}
OPERATORS = {"bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^", "shift_right": ">>"}
KEYWORDS = """auto break case char const continue default do double else enum extern float for goto if inline int long register restrict return short
signed sizeof static struct switch typedef union unsigned void volatile while"""
RESERVED = frozenset(re.findall(r"\w+", KEYWORDS)) | HELPERS.keys() | {called for by_dtype in LIBM.values() for called in by_dtype.values()}


def dtype_of(expression: Any) -> str:
    """The scalar type of an expression: "int32". Raises Unsupported for vectors."""
    name = str(expression.ty).removeprefix("T.")
    if name not in C_TYPES:
        raise Unsupported(f"values of type {name}")
    return name


class Expressions:
    """The expressions of one function and the names of its variables. `helpers` and `libm` collect what it calls."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.helpers: set[str] = set()
        self.libm: set[str] = set()
        self._names: dict[int, str] = {}
        self._taken: set[str] = set()
        self._written: set[str] = set()

    def _new(self, variable: Any, wanted: str) -> str:
        """A name that nothing else in the function has."""
        base = "".join(c if c.isalnum() else "_" for c in wanted)
        base = base if base[:1].isalpha() and base not in RESERVED else f"v_{base}"
        name, count = base, 1
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        self._names[hash(variable)] = name
        return name

    def _name(self, variable: Any) -> str:
        return self._names[hash(variable)]

    def _helper(self, kind: str, dtype: str) -> str:
        name = f"{kind}_{dtype}"
        if name not in HELPERS:
            raise Unsupported(f"{kind} of {dtype}")
        self.helpers.add(name)
        return name

    # expressions: C that is one operand, in parentheses where it is more

    def value(self, node: Any) -> str:
        """An expression whose integers wrap around."""
        return str(self.expression(node, True))

    def index(self, node: Any) -> str:
        """An expression that cannot overflow."""
        text = str(self.expression(node, False))
        return text[1:-1] if text.startswith("(") and _closes(text) else text

    @singledispatchmethod
    def expression(self, node: Any, wraps: bool) -> str:
        for kinds, show in ((COMPARISONS, self._compare), (WRAPPING, self._wrap), (PLAIN, self._plain), (CALLED, self._call_helper)):
            if type(node) in kinds:
                return show(kinds[type(node)], node.a, node.b, dtype_of(node), wraps)
        raise Unsupported(f"the expression {type(node).__name__}")

    def _compare(self, sign: str, a: Any, b: Any, dtype: str, wraps: bool) -> str:
        return f"({self.expression(a, wraps)} {sign} {self.expression(b, wraps)})"

    def _wrap(self, sign: str, a: Any, b: Any, dtype: str, wraps: bool) -> str:
        left, right = self.expression(a, wraps), self.expression(b, wraps)
        if dtype.startswith("float") or not wraps:
            return f"({left} {sign} {right})"
        # types narrower than int are promoted to it and cannot overflow before they are cut off again
        wide = {"int64": "uint64_t", "uint64": "uint64_t", "int32": "uint32_t", "uint32": "uint32_t"}.get(dtype, "int32_t")
        return f"({C_TYPES[dtype]})(({wide}){left} {sign} ({wide}){right})"

    def _plain(self, sign: str, a: Any, b: Any, dtype: str, wraps: bool) -> str:
        text = f"({self.expression(a, wraps)} {sign} {self.expression(b, wraps)})"
        return text if ITEM_BYTES[dtype] >= 4 else f"({C_TYPES[dtype]}){text}"

    def _call_helper(self, kind: str, a: Any, b: Any, dtype: str, wraps: bool) -> str:
        return f"{self._helper(kind, dtype)}({self.expression(a, wraps)}, {self.expression(b, wraps)})"

    @expression.register
    def _(self, node: tirx.IntImm, wraps: bool) -> str:
        dtype, value = dtype_of(node), int(node.value)
        if dtype in ("uint32", "uint64"):
            return f"{dtype.upper()}_C({value % 2 ** (8 * ITEM_BYTES[dtype])})"
        if value == -(2**31) or value == -(2**63):
            return f"(-{'INT64_C' if dtype == 'int64' else ''}({-value - 1}) - 1)"
        return f"INT64_C({value})" if dtype == "int64" else str(value) if value >= 0 else f"({value})"

    @expression.register
    def _(self, node: tirx.FloatImm, wraps: bool) -> str:
        value = float(node.value)
        if math.isfinite(value):
            text = c_float(value, dtype_of(node))
            return f"({text})" if value < 0 else text
        return "NAN" if math.isnan(value) else "INFINITY" if value > 0 else "(-INFINITY)"

    @expression.register
    def _(self, node: tvm.ir.Var, wraps: bool) -> str:
        return self._name(node)

    @expression.register
    def _(self, node: tvm.ir.TensorLoad, wraps: bool) -> str:
        return f"{self._name(node.source)}[{self.index(node.indices[0])}]"

    @expression.register
    def _(self, node: tirx.Cast, wraps: bool) -> str:
        dtype = dtype_of(node)
        inner = self.expression(node.value, wraps)
        return f"({inner} != 0)" if dtype == "bool" else f"({C_TYPES[dtype]}){inner}"

    @expression.register
    def _(self, node: tirx.Not, wraps: bool) -> str:
        return f"!{self.expression(node.a, wraps)}"

    @expression.register
    def _(self, node: tirx.Select, wraps: bool) -> str:
        return self._choose(node.condition, node.true_value, node.false_value, wraps)

    def _choose(self, condition: Any, a: Any, b: Any, wraps: bool) -> str:
        dtype = dtype_of(a)
        text = f"({self.expression(condition, wraps)} ? {self.expression(a, wraps)} : {self.expression(b, wraps)})"
        return text if ITEM_BYTES[dtype] >= 4 else f"({C_TYPES[dtype]}){text}"

    @expression.register
    def _(self, node: tvm.ir.Call, wraps: bool) -> str:
        name, dtype, args = node.op.name.rsplit(".", 1)[-1], dtype_of(node), list(node.args)
        if name in ("call_llvm_pure_intrin", "call_llvm_intrin"):
            intrinsic = str(LLVM_NAME(int(args[0].value)))
            if intrinsic not in INTRINSICS:
                raise Unsupported(f"the instruction {intrinsic}")
            operands = args[1:2] if intrinsic == "llvm.ctlz" else args[1:]
            return f"{self._helper(INTRINSICS[intrinsic], dtype)}({', '.join(self.expression(a, wraps) for a in operands)})"
        if name == "if_then_else":
            return self._choose(args[0], args[1], args[2], wraps)
        if name == "shift_left":
            return self._wrap("<<", args[0], args[1], dtype, wraps)
        if name in OPERATORS:
            return self._plain(OPERATORS[name], args[0], args[1], dtype, wraps)
        if name == "bitwise_not":
            return f"({C_TYPES[dtype]})~{self.expression(args[0], wraps)}"
        if name == "reinterpret":
            return self._reinterpret(dtype, args[0], wraps)
        if name in ROUNDED:
            return f"{self._helper(ROUNDED[name], dtype)}({self.expression(args[0], wraps)})"
        if dtype in LIBM.get(name, ()):
            called = LIBM[name][dtype]
            self.libm.add(called)
            return f"{called}({', '.join(self.expression(a, wraps) for a in args)})"
        raise Unsupported(f"the call {name} of {dtype}")

    def _reinterpret(self, dtype: str, node: Any, wraps: bool) -> str:
        inner, before = self.expression(node, wraps), dtype_of(node)
        if "float32" in (dtype, before) and dtype != before:
            return f"{self._helper('bits_from', before)}({inner})"
        return f"({C_TYPES[dtype]}){inner}"


def _closes(text: str) -> bool:
    """Whether the first parenthesis is closed by the last character."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return position == len(text) - 1
    return False
