"""What is done to an ONNX model before it is imported: one pass per file, ModelProto in, changed in place. PASSES is their order."""

from __future__ import annotations

from collections.abc import Callable

import onnx

from nnc_tvm.frontend.onnx_passes.dequantize_blocks import dequantize_blocks
from nnc_tvm.frontend.onnx_passes.expand_functions import expand_functions
from nnc_tvm.frontend.onnx_passes.fix_batch import fix_batch
from nnc_tvm.frontend.onnx_passes.fold_batch_norm import fold_batch_norm
from nnc_tvm.frontend.onnx_passes.fold_constants import fold_constants
from nnc_tvm.frontend.onnx_passes.integer_products import integer_products
from nnc_tvm.frontend.onnx_passes.microsoft_products import microsoft_products
from nnc_tvm.frontend.onnx_passes.microsoft_qdq import microsoft_qdq
from nnc_tvm.frontend.onnx_passes.qgemm import qgemm
from nnc_tvm.frontend.onnx_passes.qlinear_conv import qlinear_conv
from nnc_tvm.frontend.onnx_passes.qlinear_functions import qlinear_functions
from nnc_tvm.frontend.onnx_passes.qlinear_matmul import qlinear_matmul
from nnc_tvm.frontend.onnx_passes.remove_dead import remove_dead
from nnc_tvm.frontend.onnx_passes.remove_empty import remove_empty
from nnc_tvm.frontend.onnx_passes.remove_identity import remove_identity
from nnc_tvm.frontend.onnx_passes.resize_by_axes import resize_by_axes
from nnc_tvm.frontend.onnx_passes.resolve_auto_pad import resolve_auto_pad
from nnc_tvm.frontend.onnx_passes.unroll_recurrent import unroll_recurrent
from nnc_tvm.frontend.onnx_passes.upgrade_opset import upgrade_opset
from nnc_tvm.frontend.onnx_passes.widen_narrow_integers import widen_narrow_integers
from nnc_tvm.frontend.onnx_passes.write_out_control_flow import write_out_control_flow

# quantized dialects become DequantizeLinear and QuantizeLinear around float operators
DIALECTS: tuple[Callable[[onnx.ModelProto], None], ...] = (
    microsoft_qdq, widen_narrow_integers, qlinear_conv, qlinear_matmul, qgemm, qlinear_functions, microsoft_products, dequantize_blocks,
)
PASSES: tuple[Callable[[onnx.ModelProto], None], ...] = (
    upgrade_opset, *DIALECTS, fix_batch, expand_functions, write_out_control_flow, remove_identity, fold_constants, remove_empty, remove_identity,
    integer_products, fold_batch_norm, resize_by_axes, unroll_recurrent, resolve_auto_pad, remove_dead,
)
