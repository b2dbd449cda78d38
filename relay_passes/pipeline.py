"""The passes in order: the map of this folder."""

from __future__ import annotations

import tvm
from tvm import relax

from nnc_tvm.relay_passes.align_batches import align_batches
from nnc_tvm.relay_passes.canonicalize_qdq import canonicalize_qdq
from nnc_tvm.relay_passes.expand_dynamic import expand_dynamic
from nnc_tvm.relay_passes.expand_transposed import expand_transposed
from nnc_tvm.relay_passes.fold_masks import fold_masks
from nnc_tvm.relay_passes.lower_composites import lower_composites
from nnc_tvm.relay_passes.merge_tables import merge_tables
from nnc_tvm.relay_passes.program import Program
from nnc_tvm.relay_passes.prove_accumulators import prove_accumulators
from nnc_tvm.relay_passes.shrink_channels import shrink_channels
from nnc_tvm.relay_passes.to_nhwc import to_nhwc
from nnc_tvm.schedules.quantization import Mode
from nnc_tvm.targets.base import Target

# Measured on 3x3, 1x1 and depthwise convolutions: with more channels left than this, what a kernel loses by a width that suits it less
# is more than what it gains (at 122 of 128 up to 8% slower, at 114 3 to 13% faster).
WORTH_SHRINKING = 0.9


def to_program(module: tvm.IRModule, mode: Mode) -> Program:
    """A frontend's QDQ module as the integer graph that every backend reads."""
    module = relax.transform.DecomposeOpsForInference()(module)
    for step in (align_batches, canonicalize_qdq, fold_masks, expand_transposed, to_nhwc, canonicalize_qdq, expand_dynamic):
        module = step(module)
    program = merge_tables(lower_composites(module, mode))
    prove_accumulators(program)
    return program


def compress(program: Program, target: Target) -> Program:
    """The same outputs from less: `program` with what the target's forms (schedules/forms.py) make of it, never slower unless it is for size."""
    if "structured" not in target.forms:
        return program
    return shrink_channels(program) if target.optimize == "size" else shrink_channels(program, target.channel_multiple, WORTH_SHRINKING)
