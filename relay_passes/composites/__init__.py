"""The patterns of the integer graph: one operator per file; MATCHERS is the order in which they are tried."""

from nnc_tvm.relay_passes.composites.contraction import match_conv2d, match_dense, match_matmul
from nnc_tvm.relay_passes.composites.dynamic import match_dynamic_pad, match_dynamic_parameters, match_dynamic_quantize, match_dynamic_rescale
from nnc_tvm.relay_passes.composites.elementwise import match_add, match_divide, match_multiply, match_squared_difference, match_subtract
from nnc_tvm.relay_passes.composites.match import Match, Matcher
from nnc_tvm.relay_passes.composites.pool import match_average_pool, match_mean, match_sum
from nnc_tvm.relay_passes.composites.rescale import match_dequantize, match_quantize, match_rescale
from nnc_tvm.relay_passes.composites.resize import match_resize
from nnc_tvm.relay_passes.composites.scale_shift import match_scale_shift
from nnc_tvm.relay_passes.composites.softmax import match_softmax
from nnc_tvm.relay_passes.composites.table import match_table

MATCHERS: tuple[Matcher, ...] = (
    match_conv2d, match_dense, match_matmul, match_dynamic_rescale, match_add, match_subtract, match_multiply, match_divide, match_squared_difference,
    match_average_pool, match_mean, match_sum, match_softmax, match_resize, match_rescale, match_table, match_scale_shift, match_quantize,
    match_dequantize, match_dynamic_parameters, match_dynamic_quantize, match_dynamic_pad,
)

__all__ = ["MATCHERS", "Match", "Matcher"]
