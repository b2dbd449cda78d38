"""Recognizes the unary functions that LiteRT has kernels of their own for, in the form in which the front ends write them."""

from __future__ import annotations

import re
from typing import Any

from nnc_tvm.relay_passes.composites.match import clamp_bounds, clamp_operand
from nnc_tvm.relay_passes.graph import Graph, constant, operator_name

Expr = Any

# the function of x as `describe` spells it -> its name in schedules.operators.unary.FIXED
FUNCTIONS = (
    (r"sigmoid\(x\)", "sigmoid"),
    (r"tanh\(x\)", "tanh"),
    (r"exp\(x\)", "exp"),
    (r"abs\(x\)", "abs"),
    (r"sqrt\(x\)", "sqrt"),
    (r"log\(x\)", "log"),
    (r"nn\.gelu\(x\)", "gelu"),
    (r"nn\.gelu_tanh\(x\)", "gelu_tanh"),
    (r"nn\.leakyrelu\[(?P<alpha>[^]]*)\]\(x\)", "leaky_relu"),
    (r"multiply\(x,(divide\(clamp\[0,6\]\(add\(x,3\)\),6\)|multiply\(clamp\[0,6\]\(add\(x,3\)\),0\.16666\d*\))\)", "hard_swish"),
    (r"add\(clamp\[0,inf\]\(x\),subtract\(exp\(clamp\[-inf,0\]\(x\)\),1\)\)", "elu"),
)


def describe(graph: Graph, expr: Expr) -> str:
    """A unary function of one dequantized tensor, spelt out; "?" where something else comes in."""
    value = constant(expr)
    if value is not None:
        return f"{float(value.reshape(-1)[0]):.6g}" if value.size == 1 else "?"
    call = graph.definition(expr)
    name = operator_name(call).removeprefix("relax.")
    if name == "dequantize":
        inner = constant(call.args[0])
        return "x" if inner is None else "?"
    bounds = clamp_bounds(call)
    if bounds is not None:
        return f"clamp[{bounds[0]:.6g},{bounds[1]:.6g}]({describe(graph, clamp_operand(call))})"
    alpha = f"[{float(call.attrs.alpha):.9g}]" if name == "nn.leakyrelu" else ""
    return f"{name or '?'}{alpha}({','.join(describe(graph, a) for a in getattr(call, 'args', ()))})"


def litert_function(graph: Graph, expr: Expr) -> tuple[str, dict[str, float]] | None:
    """(name, attributes) for `fixed_table` where `expr` is such a function of one dequantized tensor."""
    text = describe(graph, expr)
    for pattern, name in FUNCTIONS:
        found = re.fullmatch(pattern, text)
        if found:
            attributes = {k: float(v) for k, v in found.groupdict().items()}
            return ("gelu", {"approximate": 1.0}) if name == "gelu_tanh" else (name, attributes)
    return None
