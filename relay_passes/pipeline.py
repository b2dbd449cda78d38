"""The passes in order: the map of this folder."""

from __future__ import annotations

import tvm
from tvm import relax

from nnc_tvm.relay_passes.align_batches import align_batches
from nnc_tvm.relay_passes.canonicalize_qdq import canonicalize_qdq
from nnc_tvm.relay_passes.fold_masks import fold_masks
from nnc_tvm.relay_passes.lower_composites import lower_composites
from nnc_tvm.relay_passes.program import Program
from nnc_tvm.relay_passes.prove_accumulators import prove_accumulators
from nnc_tvm.relay_passes.shrink_channels import shrink_channels
from nnc_tvm.relay_passes.to_nhwc import to_nhwc
from nnc_tvm.schedules.quantization import Mode


def to_program(module: tvm.IRModule, mode: Mode) -> Program:
    """A frontend's QDQ module as the integer graph that every backend reads."""
    module = relax.transform.DecomposeOpsForInference()(module)
    for step in (align_batches, canonicalize_qdq, fold_masks, to_nhwc, canonicalize_qdq):
        module = step(module)
    program = lower_composites(module, mode)
    prove_accumulators(program)
    return program


def compress(program: Program, forms: frozenset[str]) -> Program:
    """The same outputs from less: `program` with what the allowed forms (schedules/forms.py) make of it."""
    return shrink_channels(program) if "structured" in forms else program
