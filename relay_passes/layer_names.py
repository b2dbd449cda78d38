"""What layers are called: the source model's names of the tensors that they make."""

from __future__ import annotations

import re
from typing import Any

import tvm
from tvm import relax

from nnc_tvm.relay_passes.graph import UNNAMED, Graph, operator_name, rebuild, variables

Expr = Any
# what stands between an operator that an importer made and the tensor that the model names: a 1-D convolution computed as an image, say
PASSED_ON = frozenset({"relax.reshape", "relax.squeeze", "relax.expand_dims", "relax.permute_dims", "relax.quantize", "relax.dequantize"})


def source_name(variable: Expr) -> str:
    """The source model's name of a tensor, without what ONNX Runtime's quantizer appends; "" for names that TVM or a pass made up."""
    name = str(variable.name).removesuffix("_q").removesuffix("_QuantizeLinear_Output").removesuffix("_DequantizeLinear_Output")
    return "" if re.fullmatch(rf"(lv|gv|{UNNAMED})\d*(_q)?", name) else name


def passed_on_names(graph: Graph) -> dict[Expr, str]:
    """For tensors without a name of their own: that of the one tensor which they become, moved alone."""
    readers: dict[Expr, list[Expr]] = {}
    for variable, value in graph.definitions.items():
        for read in variables(value) if not isinstance(value, relax.Tuple) else ():
            readers.setdefault(read, []).append(variable)
    found: dict[Expr, str] = {}
    for variable in reversed(list(graph.definitions)):
        own, after = source_name(variable), readers.get(variable, [])
        if own:
            found[variable] = own
        elif len(after) == 1 and (operator_name(graph.definition(after[0])) in PASSED_ON or isinstance(graph.definition(after[0]), tvm.ir.Var)):
            found[variable] = found.get(after[0], "")
    return found


def without_aliases(module: tvm.IRModule) -> tvm.IRModule:
    """relax's CanonicalizeBindings, but results keep their tensors' names: it keeps an alias's, which BlockBuilder made up."""
    names = []
    before = Graph(module["main"])
    for result in before.results():
        while isinstance(before.definitions.get(result), tvm.ir.Var):
            result = before.definitions[result]
        names.append(str(result.name) if isinstance(result, tvm.ir.Var) else "")
    module = relax.transform.CanonicalizeBindings()(module)
    after = Graph(module["main"])
    wanted = {v: name for v, name in zip(after.results(), names, strict=True) if name and v in after.definitions and v.name != name}
    return rebuild(module, lambda r, variable, value: r.emit(value, wanted.get(variable, variable.name))) if wanted else module
