"""A float module in the form that quantization starts from."""

from __future__ import annotations

import tvm
from tvm import relax

from nnc_tvm.errors import InvalidInput
from nnc_tvm.quantize.clamps_first import clamps_first
from nnc_tvm.quantize.fold_batch_norm import fold_batch_norm
from nnc_tvm.quantize.fold_constants import fold_constants
from nnc_tvm.relay_passes.align_batches import align_batches
from nnc_tvm.relay_passes.behind_moves import biases_inside
from nnc_tvm.relay_passes.expand_transposed import expand_transposed
from nnc_tvm.relay_passes.graph import Graph, operator_name
from nnc_tvm.relay_passes.layer_names import without_aliases


def prepare(module: tvm.IRModule) -> tvm.IRModule:
    """`module` with constants computed, batch normalizations folded and clamps next to their operators; its contractions have float weights.

    Raises InvalidInput for a model with quantized activations.
    """
    for step in (relax.transform.DecomposeOpsForInference(), without_aliases, align_batches, fold_constants, expand_transposed, biases_inside):
        module = step(module)
    for variable, value in Graph(module["main"]).definitions.items():
        if operator_name(value) in ("relax.quantize", "relax.dequantize"):
            raise InvalidInput(f"--quantize int8: the model is quantized already, at '{variable.name}'; leave the option out, or start from the float model")
    return relax.transform.DeadCodeElimination(["main"])(clamps_first(fold_batch_norm(module)))
