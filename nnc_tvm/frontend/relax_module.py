"""The last steps that all front ends share."""

from __future__ import annotations

import tvm
from tvm import relax, tirx

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.shapes import check_shape
from nnc_tvm.relay_passes.layer_names import without_aliases


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
    return module


def check_static(variable: relax.Var) -> None:
    """Arenas are planned offline, so every shape must be known; every tensor has elements, fewer than 2^31."""
    kinds = variable.ty.fields if isinstance(variable.ty, relax.TupleType) else [variable.ty]
    for kind in kinds:
        shape = getattr(kind, "shape", None)
        if not isinstance(kind, relax.TensorType) or shape is None or any(not isinstance(d, tirx.IntImm) for d in shape):
            raise Unsupported(f"the tensor '{variable.name}' has a shape that is only known at run time; export the model with fixed sizes")
        check_shape(variable.name, [int(d) for d in shape])
