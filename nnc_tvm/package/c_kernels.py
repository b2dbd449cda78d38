"""src/kernels.c: the kernels as C99 that any compiler takes. Lowered PrimFuncs are printed statement by statement."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import singledispatchmethod
from typing import Any

import tvm
from tvm import tirx
from tvm.tirx.buffer import buffer_data

from nnc_tvm.errors import Unsupported
from nnc_tvm.package.c_abi import SCALAR_LOWERING, lowered
from nnc_tvm.package.c_expressions import Expressions, dtype_of
from nnc_tvm.package.c_helpers import HELPERS
from nnc_tvm.package.emit_header import C_TYPES
from nnc_tvm.package.parts import parts_of

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


DECLARATION = re.compile(r"\s*(?:const |" + CONST.format(r"\w+") + r")?\w+ (?:\*const )?(\w+)(?:\[\d+\])?(?: = .*)?;$")
"""A line that declares a local variable, whose name is its group."""


class _Printer(Expressions):
    """One function."""

    def function(self, function: tirx.PrimFunc) -> str:
        """int32_t name(const void *..., void *) as the graph declares it."""
        restrict = "restrict " if function.attrs is not None and "tirx.noalias" in dict(function.attrs) else ""
        names = [self._new(p, p.name) for p in function.params]
        try:
            printed = list(self.statement(function.body))
            body = [re.sub(CONST.format(r"(\w+)"), lambda m: "" if m[1] in self._written else "const ", line) for line in _without_unused(printed)]
        except Unsupported as error:
            raise Unsupported(f"kernel '{self.name}' cannot be written as C: {error}; leave --emit c out") from None
        pointers, parts = (names[:-1], f", int32_t {names[-1]}") if parts_of(function) > 1 else (names, "")
        *inputs, output = pointers
        parameters = ", ".join([*(f"const void *{restrict}{n}" for n in inputs), f"void *{restrict}{output}"]) + parts
        words = set(re.findall(r"\w+", "\n".join(body)))
        unused = [f"(void){n};" for n in names if n not in words]
        prototype = f"int32_t {self.name}({parameters})"
        return "\n".join([f"{prototype};", prototype, "{", *(f"    {line}" for line in [*unused, *body]), "    return 0;", "}"]) + "\n"

    # statements: lines of C

    @singledispatchmethod
    def statement(self, node: Any) -> Iterator[str]:
        raise Unsupported(f"the statement {type(node).__name__}")

    @statement.register
    def _seq_stmt(self, node: tirx.SeqStmt) -> Iterator[str]:
        for part in node.seq:
            yield from self.statement(part)

    @statement.register
    def _attr_stmt(self, node: tirx.AttrStmt) -> Iterator[str]:
        yield from self.statement(node.body)  # alignment and hints are for LLVM

    @statement.register
    def _evaluate(self, node: tirx.Evaluate) -> Iterator[str]:
        if not isinstance(node.value, tirx.IntImm) and "prefetch" not in str(node.value):
            raise Unsupported(f"the call {node.value.op}")
        return iter(())

    @statement.register
    def _decl_buffer(self, node: tirx.DeclBuffer) -> Iterator[str]:
        data, dtype = node.data, str(node.buffer.dtype)
        source = data.args[0] if isinstance(data, tvm.ir.Call) and data.op.same_as(buffer_data(node.buffer).op) else data
        pointer, name = self._name(source), self._new(node.buffer, node.buffer.name)
        yield f"{CONST.format(name)}{C_TYPES[dtype]} *const {name} = ({CONST.format(name)}{C_TYPES[dtype]} *){pointer};"

    @statement.register
    def _alloc_buffer(self, node: tirx.AllocBuffer) -> Iterator[str]:
        size = math.prod(int(n) for n in node.buffer.shape)
        yield f"{C_TYPES[str(node.buffer.dtype)]} {self._new(node.buffer, node.buffer.name)}[{size}];"

    @statement.register
    def _bind(self, node: tirx.Bind) -> Iterator[str]:
        value = self.index(node.value) if dtype_of(node.value) == "int32" else self.value(node.value)
        yield f"const {C_TYPES[dtype_of(node.value)]} {self._new(node.var, node.var.name)} = {value};"

    @statement.register
    def _for(self, node: tirx.For) -> Iterator[str]:
        first = self.index(node.min)
        last = self.index(node.min + node.extent) if not _is_zero(node.min) else self.index(node.extent)
        name = self._new(node.loop_var, node.loop_var.name)
        yield f"for (int32_t {name} = {first}; {name} < {last}; {name}++) {{"
        yield from (f"    {line}" for line in self.statement(node.body))
        yield "}"

    @statement.register
    def _if_then_else(self, node: tirx.IfThenElse) -> Iterator[str]:
        yield f"if ({self.index(node.condition)}) {{"
        yield from (f"    {line}" for line in self.statement(node.then_case))
        if node.else_case is not None:
            yield "} else {"
            yield from (f"    {line}" for line in self.statement(node.else_case))
        yield "}"

    @statement.register
    def _buffer_store(self, node: tirx.BufferStore) -> Iterator[str]:
        name = self._name(node.buffer)
        self._written.add(name)
        yield f"{name}[{self.index(node.indices[0])}] = {self.value(node.value)};"


def _without_unused(lines: list[str]) -> list[str]:
    """The lines without declarations of what no other line reads: compilers warn of them. Such are views of an input whose values are all masked."""
    while True:
        words = Counter(re.findall(r"\w+", re.sub(CONST.format(r"\w+"), "", "\n".join(lines))))
        kept = [line for line in lines if not ((declared := DECLARATION.match(line)) and words[declared[1]] == 1)]
        if len(kept) == len(lines):
            return kept
        lines = kept


def _is_zero(node: Any) -> bool:
    return isinstance(node, tirx.IntImm) and int(node.value) == 0
