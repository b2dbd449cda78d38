"""The kernels of a package: one C function for every distinct PrimFunc, however many layers call it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnc_tvm.relay_passes.program import ScheduledProgram

if TYPE_CHECKING:
    from tvm import tirx


def name_kernels(scheduled: ScheduledProgram, prefix: str, in_place: frozenset[int]) -> tuple[tuple[str, ...], dict[str, tirx.PrimFunc]]:
    """The symbol of every stage, in execution order, and the function behind each symbol.

    in_place: numbers of the stages whose output shares memory with an input. Their functions lose the promise that parameters do
    not alias, which LLVM would be entitled to build on.
    """
    import tvm_ffi

    symbols: list[str] = []
    functions: dict[str, tirx.PrimFunc] = {}
    known: dict[tvm_ffi.StructuralKey, str] = {}
    stages = [(layer.layer.operator.kind, stage) for layer in scheduled.layers for stage in layer.stages]
    for number, (kind, stage) in enumerate(stages):
        # functions are equal whatever they are called
        key = tvm_ffi.StructuralKey(stage.function.without_attr("global_symbol"))
        if key not in known:
            known[key] = f"{prefix}_{kind}_{len(known)}"
            functions[known[key]] = stage.function
        symbols.append(known[key])
        if number in in_place:
            functions[symbols[-1]] = functions[symbols[-1]].without_attr("tirx.noalias")
    return tuple(symbols), functions
