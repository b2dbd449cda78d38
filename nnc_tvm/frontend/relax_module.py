"""The last steps that all front ends share."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax, tirx

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.shapes import DTYPES_IN_WORDS, check_shape
from nnc_tvm.relay_passes.graph import constant, operator_name
from nnc_tvm.relay_passes.layer_names import without_aliases

DTYPES = frozenset({"float32", "float64", "bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))})


def finish(module: tvm.IRModule) -> tvm.IRModule:
    """`module` without aliases, dead bindings and the importer's attributes. Raises Unsupported where a shape is not static."""
    main = module["main"]
    for key in list(main.attrs.keys()) if main.attrs else []:
        main = main.without_attr(key)
    module.update_func(module.get_global_var("main"), main.with_attr("global_symbol", "main"))
    module = relax.transform.DeadCodeElimination(["main"])(without_aliases(module))
    for block in module["main"].body.blocks:
        for binding in block.bindings:
            check_static(binding.var)
            check_numbers(binding)
    return module


def check_numbers(binding: relax.Binding) -> None:
    """A NaN among the constants of an operator would make its results NaN."""
    for argument in getattr(binding.value, "args", ()):
        value = constant(argument)
        if value is not None and value.dtype.kind == "f" and np.isnan(value).any():
            raise InvalidModel(f"'{binding.var.name}' ({operator_name(binding.value)}) reads a constant that holds NaN: "
                               "the training diverged or the file is damaged")


def check_static(variable: relax.Var) -> None:
    """Arenas are planned offline, so every shape must be known; every tensor has elements, fewer than 2^31."""
    kinds = variable.ty.fields if isinstance(variable.ty, relax.TupleType) else [variable.ty]
    for kind in kinds:
        shape = getattr(kind, "shape", None)
        if not isinstance(kind, relax.TensorType) or shape is None or any(not isinstance(d, tirx.IntImm) for d in shape):
            raise Unsupported(f"the tensor '{variable.name}' has a shape that is only known at run time; export the model with fixed sizes")
        check_shape(variable.name, [int(d) for d in shape])
        if str(kind.dtype) not in DTYPES:
            raise Unsupported(f"the tensor '{variable.name}' has dtype {kind.dtype}; tensors may be {DTYPES_IN_WORDS}")
