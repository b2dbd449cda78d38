"""What kernels compute: one operator per file, its parameters, equation and compute definition."""

from nnc_tvm.schedules.operators.chain import Chain
from nnc_tvm.schedules.operators.conv2d import Conv2d
from nnc_tvm.schedules.operators.dense import Dense
from nnc_tvm.schedules.operators.depthwise import DepthwiseConv2d
from nnc_tvm.schedules.operators.division import Divide
from nnc_tvm.schedules.operators.dynamic import DynamicPad, DynamicParameters, DynamicQuantize, DynamicRescale
from nnc_tvm.schedules.operators.elementwise import LinearCombination, Multiply
from nnc_tvm.schedules.operators.matmul import MatMul
from nnc_tvm.schedules.operators.movement import Broadcast, Concat, Pad, Reshape, StridedSlice, Transpose
from nnc_tvm.schedules.operators.operator import Operator, TensorType
from nnc_tvm.schedules.operators.pool import AveragePool2d, MaxPool2d, Mean, Sum
from nnc_tvm.schedules.operators.primitive import Primitive
from nnc_tvm.schedules.operators.requantize import Dequantize, FlipSign, Quantize, Rescale
from nnc_tvm.schedules.operators.resize import ResizeBilinear, ResizeNearest
from nnc_tvm.schedules.operators.softmax import FixedSoftmax, TableSoftmax
from nnc_tvm.schedules.operators.squared_difference import SquaredDifference
from nnc_tvm.schedules.operators.table import Table

__all__ = [
    "AveragePool2d", "Broadcast", "Chain", "Concat", "Conv2d", "Dense", "DepthwiseConv2d", "Dequantize", "Divide", "DynamicPad", "DynamicParameters",
    "DynamicQuantize", "DynamicRescale", "FixedSoftmax", "FlipSign",
    "LinearCombination", "MatMul", "MaxPool2d", "Mean", "Multiply", "Operator", "Pad", "Primitive", "Quantize", "Rescale", "Reshape",
    "ResizeBilinear", "ResizeNearest", "SquaredDifference", "StridedSlice", "Sum", "Table", "TableSoftmax", "TensorType", "Transpose",
]
