"""PrimFuncs with buffer parameters as plain C functions: `int32_t f(void *in, ..., void *out)`, raw pointers, no TVM runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
import tvm_ffi
from tvm import s_tir, tirx
from tvm.tirx.buffer import buffer_data, buffer_data_pointer_type, is_buffer_var

from nnc_tvm.package.parts import ONE_TURN_LOOPS, choose_turns, keep_parts, parts_of
from nnc_tvm.schedules.operators.operator import ITEM_BYTES

# TVM's own order for CPU functions, without the passes that make packed functions. LowerTVMBuiltin is left out too: it would turn
# buffers inside a kernel into calls of TVMBackendAllocWorkspace; here they live on the stack, so they must be small.
PARTITION = s_tir.transform.LoopPartition()
LOWERING = (
    s_tir.transform.CanonicalizeLoop(),
    s_tir.transform.LowerInitBlock(),
    s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
    s_tir.transform.ConvertBlocksToOpaque(),
    s_tir.transform.CompactBufferAllocation(),
    s_tir.transform.LowerMatchBuffer(),
    s_tir.transform.StmtSimplify(),
    s_tir.transform.LowerOpaqueBlock(),
    tirx.transform.FlattenBuffer(),
    tirx.transform.NarrowDataType(32),
    PARTITION,
    tirx.transform.VectorizeLoop(True),
    tirx.transform.StorageRewrite(),
    tirx.transform.UnrollLoop(),
    tirx.transform.StmtSimplify(),
    tirx.transform.RemoveNoOp(),
    s_tir.transform.RewriteUnsafeSelect(),
    tirx.transform.CommonSubexprElim(),
)
VECTORIZE = next(k for k, step in enumerate(LOWERING) if step.info.name == "tirx.VectorizeLoop")
# for packages of C source: loops instead of vectors and of unrolled copies, and each local buffer for itself
SCALAR_LOWERING = (*LOWERING[:VECTORIZE], tirx.transform.VectorizeLoop(False), *LOWERING[VECTORIZE + 3:])


def with_pointer_parameters(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """The lowered `function` with each buffer parameter replaced by its data pointer, returning int32."""
    pointers: dict[Any, tirx.Var] = {}
    parameters = []
    for p in function.params:
        if is_buffer_var(p):
            pointers[p] = tirx.Var(p.name + "_ptr", buffer_data_pointer_type(p))
            parameters.append(pointers[p])
        else:
            parameters.append(p)
    data_operator = buffer_data(function.params[0]).op

    def replace(call: tvm.ir.Call) -> Any:
        if call.op.same_as(data_operator):
            for buffer, pointer in pointers.items():
                if call.args[0].same_as(buffer):
                    return pointer
        return call

    body = tvm_ffi.structural_map(function.body, (tvm.ir.Call, replace))
    for buffer, pointer in pointers.items():  # callers' buffers are aligned as C aligns their elements, no better
        body = tirx.AttrStmt(pointer, "storage_alignment", tirx.const(ITEM_BYTES[str(buffer.dtype)], "int32"), body)
    return tirx.PrimFunc(parameters, body, tvm.ir.PrimType("int32"), attrs=function.attrs)


def lowered(functions: dict[str, tirx.PrimFunc], target: tvm.target.Target, passes: Sequence[Any]) -> tvm.IRModule:
    """The functions after `passes`, each under its name and with pointers for parameters; those of several parts (parts.py) end with the part, an int32."""
    module = keep_parts(tvm.IRModule({name: f.with_attr("global_symbol", name) for name, f in functions.items()}))
    module = tirx.transform.BindTarget(target)(module)
    in_parts = any(parts_of(f) > 1 for f in module.functions.values())
    with tvm.transform.PassContext(config=ONE_TURN_LOOPS if in_parts else {}):
        for step in passes:
            module = step(module)
            if step is PARTITION:
                module = choose_turns(module)
    return tvm.IRModule({g.name_hint: with_pointer_parameters(f) for g, f in module.functions.items()})


def build_c_functions(functions: dict[str, tirx.PrimFunc], target: tvm.target.Target) -> tvm.runtime.Module:
    """LLVM module that defines each function under its name with C linkage; `.write_to_file(path, "o")` gives an object file."""
    module = tirx.transform.LowerIntrin()(lowered(functions, target, LOWERING))
    return tvm.get_global_func("target.build." + target.kind.name)(module, target)
