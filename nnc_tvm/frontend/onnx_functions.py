"""Functions that an ONNX model defines itself are written out where they are called."""

from __future__ import annotations

import onnx
from onnx import inliner

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.shapes import one_line

MOST_NODES = 1_000_000  # functions that call functions can grow without bound
Key = tuple[str, str]


def inline_functions(model: onnx.ModelProto) -> None:
    """Raises InvalidModel for functions that call themselves and Unsupported where they would write out more than MOST_NODES nodes."""
    if not model.functions:
        return
    check_growth(model)
    try:
        model.CopyFrom(inliner.inline_local_functions(model))
    except Exception as error:  # the inliner raises RuntimeError and its own kinds
        raise InvalidModel(f"the model's own functions cannot be written out: {one_line(error)}") from error


def check_growth(model: onnx.ModelProto) -> None:
    """Counts the nodes that each function comes to, callees before callers."""
    bodies: dict[Key, list[Key]] = {(f.domain, f.name): [(n.domain, n.op_type) for n in f.node] for f in model.functions}
    sizes: dict[Key, int] = {}
    open_calls: list[Key] = []
    for root in bodies:
        pending: list[tuple[Key, bool]] = [(root, False)]
        while pending:  # without recursion: chains of calls may be long
            key, done = pending.pop()
            if done:
                open_calls.pop()
                sizes[key] = sum(sizes.get(callee, 1) for callee in bodies[key])
                continue
            if key in sizes:
                continue
            if key in open_calls:
                raise InvalidModel(f"the function '{key[1]}' calls itself; functions must end")
            open_calls.append(key)
            pending.append((key, True))
            pending += [(callee, False) for callee in bodies[key] if callee in bodies and callee not in sizes]
    total = sum(sizes.get((n.domain, n.op_type), 1) for n in model.graph.node)
    if total > MOST_NODES:
        raise Unsupported(f"the model's own functions write out {total:.3g} nodes; at most {MOST_NODES} can be compiled")
