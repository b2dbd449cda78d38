"""src/kernels.c: the kernels as C99 that any compiler takes. Lowered PrimFuncs are printed statement by statement.

Integers wrap around as TVM means them to: sums, differences, products and left shifts are formed in the unsigned type. Indices are
plain ints. Memory is only read and written as the type it holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import singledispatchmethod
from typing import Any

import tvm
from tvm import tirx
from tvm.tirx.buffer import buffer_data

from nnc_tvm.errors import Unsupported
from nnc_tvm.package.c_abi import SCALAR_LOWERING, lowered
from nnc_tvm.package.c_helpers import HELPERS
from nnc_tvm.package.emit_header import C_TYPES, c_float
from nnc_tvm.schedules.operators.operator import ITEM_BYTES

LIBM = {name: f"{called}f" for name, called in {
    **{same: same for same in ("exp", "exp2", "exp10", "log", "log2", "log10", "log1p", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "asin", "acos",
                               "atan", "asinh", "acosh", "atanh", "atan2", "erf", "pow", "fmod", "hypot", "nearbyint")},
    "fabs": "fabs", "round": "nearbyint"}.items()}
LLVM_NAME = tvm.get_global_func("target.llvm_get_intrinsic_name")
INTRINSICS = {"llvm.roundeven": "round_half_even", "llvm.ctlz": "leading_zeros", "llvm.sadd.sat": "add_saturating"}
"""LLVM's intrinsics that the rules use on every CPU, as helpers."""
ROUNDED = {"trunc": "rounded_to_zero", "floor": "rounded_down", "ceil": "rounded_up"}
COMPARISONS = {tirx.EQ: "==", tirx.NE: "!=", tirx.LT: "<", tirx.LE: "<=", tirx.GT: ">", tirx.GE: ">=", tirx.And: "&&", tirx.Or: "||"}
WRAPPING = {tirx.Add: "+", tirx.Sub: "-", tirx.Mul: "*", tirx.LShift: "<<"}
PLAIN = {tirx.BitwiseAnd: "&", tirx.BitwiseOr: "|", tirx.BitwiseXor: "^", tirx.RShift: ">>", tirx.Div: "/", tirx.Mod: "%"}
CALLED = {tirx.Min: "smaller", tirx.Max: "larger", tirx.FloorDiv: "floor_div", tirx.FloorMod: "floor_mod"}
OPERATORS = {"bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^", "shift_right": ">>"}
KEYWORDS = """auto break case char const continue default do double else enum extern float for goto if inline int long register restrict return short
signed sizeof static struct switch typedef union unsigned void volatile while"""
RESERVED = frozenset(re.findall(r"\w+", KEYWORDS)) | HELPERS.keys() | set(LIBM.values())
CONST = "<const unless {} is written>"
"""What stands in a declaration until the whole function is printed."""


def kernels_source(functions: Mapping[str, tirx.PrimFunc], target: tvm.target.Target, title: str) -> tuple[str, tuple[str, ...]]:
    """(the text of src/kernels.c, the libm functions it calls). Raises Unsupported naming a kernel that only machine code can express."""
    module = lowered(dict(functions), target, SCALAR_LOWERING)
    texts, helpers, libm = [], set(), set()
    for name in functions:
        printer = _Printer(name)
        texts.append(printer.function(module[name]))
        helpers |= printer.helpers
        libm |= printer.libm
    head = [f"/* {title}: the kernels. */", "#include <stdint.h>", "#include <string.h>" if any(h.startswith("bits_") for h in helpers) else "",
            "#include <math.h>" if libm or any("INFINITY" in t or "NAN" in t for t in texts) else "", "",
            "#ifdef __clang__", "#pragma STDC FP_CONTRACT OFF", "#endif"]
    # a helper may use another one above it
    needed = [text for name, text in HELPERS.items() if name in helpers]
    return "\n".join([*(line for k, line in enumerate(head) if line or k == 4), "", *needed, *texts]), tuple(sorted(libm))


def dtype_of(expression: Any) -> str:
    """The scalar type of an expression: "int32". Raises Unsupported for vectors."""
    name = str(expression.ty).removeprefix("T.")
    if name not in C_TYPES:
        raise Unsupported(f"values of type {name}")
    return name


class _Printer:
    """One function. `helpers` and `libm` collect what it calls."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.helpers: set[str] = set()
        self.libm: set[str] = set()
        self._names: dict[int, str] = {}
        self._taken: set[str] = set()
        self._used: set[str] = set()
        self._written: set[str] = set()

    def function(self, function: tirx.PrimFunc) -> str:
        """int32_t name(const void *..., void *) as the graph declares it."""
        constant = ["const "] * (len(function.params) - 1) + [""]
        restrict = "restrict " if function.attrs is not None and "tirx.noalias" in dict(function.attrs) else ""
        names = [self._new(p, p.name) for p in function.params]
        try:
            printed = list(self.statement(function.body))
            body = [re.sub(CONST.format(r"(\w+)"), lambda m: "" if m[1] in self._written else "const ", line) for line in printed]
        except Unsupported as error:
            raise Unsupported(f"kernel '{self.name}' cannot be written as C: {error}; leave --emit c out") from None
        parameters = ", ".join(f"{c}void *{restrict}{n}" for c, n in zip(constant, names, strict=True))
        unused = [f"(void){n};" for n in names if n not in self._used]
        prototype = f"int32_t {self.name}({parameters})"
        return "\n".join([f"{prototype};", prototype, "{", *(f"    {line}" for line in [*unused, *body]), "    return 0;", "}"]) + "\n"

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
        name = self._names[hash(variable)]
        self._used.add(name)
        return name

    def _helper(self, kind: str, dtype: str) -> str:
        name = f"{kind}_{dtype}"
        if name not in HELPERS:
            raise Unsupported(f"{kind} of {dtype}")
        self.helpers.add(name)
        return name

    # statements: lines of C

    @singledispatchmethod
    def statement(self, node: Any) -> Iterator[str]:
        raise Unsupported(f"the statement {type(node).__name__}")

    @statement.register
    def _(self, node: tirx.SeqStmt) -> Iterator[str]:
        for part in node.seq:
            yield from self.statement(part)

    @statement.register
    def _(self, node: tirx.AttrStmt) -> Iterator[str]:
        yield from self.statement(node.body)  # alignment and hints are for LLVM

    @statement.register
    def _(self, node: tirx.Evaluate) -> Iterator[str]:
        if not isinstance(node.value, tirx.IntImm) and "prefetch" not in str(node.value):
            raise Unsupported(f"the call {node.value.op}")
        return iter(())

    @statement.register
    def _(self, node: tirx.DeclBuffer) -> Iterator[str]:
        data, dtype = node.data, str(node.buffer.dtype)
        source = data.args[0] if isinstance(data, tvm.ir.Call) and data.op.same_as(buffer_data(node.buffer).op) else data
        pointer, name = self._name(source), self._new(node.buffer, node.buffer.name)
        yield f"{CONST.format(name)}{C_TYPES[dtype]} *const {name} = ({CONST.format(name)}{C_TYPES[dtype]} *){pointer};"

    @statement.register
    def _(self, node: tirx.AllocBuffer) -> Iterator[str]:
        size = math.prod(int(n) for n in node.buffer.shape)
        yield f"{C_TYPES[str(node.buffer.dtype)]} {self._new(node.buffer, node.buffer.name)}[{size}];"

    @statement.register
    def _(self, node: tirx.Bind) -> Iterator[str]:
        value = self.index(node.value) if dtype_of(node.value) == "int32" else self.value(node.value)
        yield f"const {C_TYPES[dtype_of(node.value)]} {self._new(node.var, node.var.name)} = {value};"

    @statement.register
    def _(self, node: tirx.For) -> Iterator[str]:
        first = self.index(node.min)
        last = self.index(node.min + node.extent) if not _is_zero(node.min) else self.index(node.extent)
        name = self._new(node.loop_var, node.loop_var.name)
        yield f"for (int32_t {name} = {first}; {name} < {last}; {name}++) {{"
        yield from (f"    {line}" for line in self.statement(node.body))
        yield "}"

    @statement.register
    def _(self, node: tirx.IfThenElse) -> Iterator[str]:
        yield f"if ({self.index(node.condition)}) {{"
        yield from (f"    {line}" for line in self.statement(node.then_case))
        if node.else_case is not None:
            yield "} else {"
            yield from (f"    {line}" for line in self.statement(node.else_case))
        yield "}"

    @statement.register
    def _(self, node: tirx.BufferStore) -> Iterator[str]:
        name = self._name(node.buffer)
        self._written.add(name)
        yield f"{name}[{self.index(node.indices[0])}] = {self.value(node.value)};"

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
        if dtype == "float32" or not wraps:
            return f"({left} {sign} {right})"
        # types narrower than int are promoted to it and cannot overflow before they are cut off again
        wide = {"int64": "uint64_t", "int32": "uint32_t"}.get(dtype, "int32_t")
        return f"({C_TYPES[dtype]})(({wide}){left} {sign} ({wide}){right})"

    def _plain(self, sign: str, a: Any, b: Any, dtype: str, wraps: bool) -> str:
        text = f"({self.expression(a, wraps)} {sign} {self.expression(b, wraps)})"
        return text if ITEM_BYTES[dtype] >= 4 else f"({C_TYPES[dtype]}){text}"

    def _call_helper(self, kind: str, a: Any, b: Any, dtype: str, wraps: bool) -> str:
        return f"{self._helper(kind, dtype)}({self.expression(a, wraps)}, {self.expression(b, wraps)})"

    @expression.register
    def _(self, node: tirx.IntImm, wraps: bool) -> str:
        dtype, value = dtype_of(node), int(node.value)
        if value == -(2**31) or value == -(2**63):
            return f"(-{'INT64_C' if dtype == 'int64' else ''}({-value - 1}) - 1)"
        return f"INT64_C({value})" if dtype == "int64" else str(value) if value >= 0 else f"({value})"

    @expression.register
    def _(self, node: tirx.FloatImm, wraps: bool) -> str:
        value = float(node.value)
        if math.isfinite(value):
            return f"({c_float(value)})" if value < 0 else c_float(value)
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
        if name in LIBM and dtype == "float32":
            self.libm.add(LIBM[name])
            return f"{LIBM[name]}({', '.join(self.expression(a, wraps) for a in args)})"
        raise Unsupported(f"the call {name} of {dtype}")

    def _reinterpret(self, dtype: str, node: Any, wraps: bool) -> str:
        inner, before = self.expression(node, wraps), dtype_of(node)
        if "float32" in (dtype, before) and dtype != before:
            return f"{self._helper('bits_from', before)}({inner})"
        return f"({C_TYPES[dtype]}){inner}"


def _is_zero(node: Any) -> bool:
    return isinstance(node, tirx.IntImm) and int(node.value) == 0


def _closes(text: str) -> bool:
    """Whether the first parenthesis is closed by the last character."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return position == len(text) - 1
    return False
