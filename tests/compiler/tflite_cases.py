"""Quantized one-operator TFLite models: those of the importer's tests in both dtypes, and what only integer kernels care about."""

from __future__ import annotations

from dataclasses import replace

from tests.frontend.test_tflite_import import CASES, IMAGE, Case, conv, depthwise, pool
from tests.tflite_builder import RELU, RELU6, RELU_N1_TO_1, VALID

SIGNED, UNSIGNED, BOTH = ("int8",), ("uint8",), ("int8", "uint8")
BATCH = (3, 9, 7, 4)
SAME_UNIT = (1 / 256, -128)


def fused(function: int, table: str) -> tuple[str, dict[str, int]]:
    return table, {"fusedActivationFunction": function}


def as_unsigned(case: Case) -> Case:
    q = case.output_quantization
    return replace(case, dtypes=UNSIGNED, output_quantization=(q[0], q[1] + 128) if q else None)


# 5.35 / 0.1 lies halfway: there the last bit of the C library's erff decides
IMPORTED = [replace(c, output_quantization=(0.09, -9)) if c.name == "gelu" else c for c in CASES if "int8" in c.dtypes or "uint8" in c.dtypes]
NO_UNSIGNED = ("ELU", "BATCH_MATMUL")  # LiteRT has no uint8 kernel
INTERPOLATED = "resize bilinear"  # uint8: LiteRT interpolates in float32

BOTH_DTYPES = [
    Case("conv 5x1, stride 3", "CONV_2D", (1, 3, 3, 5), conv(strideH=3, strideW=3), weights=((5, 5, 1, 4), 0)),
    Case("conv of a batch, relu -1 to 1", "CONV_2D", (3, 9, 7, 6), conv(fusedActivationFunction=RELU_N1_TO_1), (BATCH,), weights=((6, 3, 3, 4), 0)),
    Case("conv SAME, dilated", "CONV_2D", (1, 9, 7, 6), conv(dilationWFactor=2, dilationHFactor=3), weights=((6, 3, 3, 4), 0)),
    Case("depthwise dilated, relu6", "DEPTHWISE_CONV_2D", IMAGE, depthwise(1, dilationWFactor=2, dilationHFactor=2, fusedActivationFunction=RELU6),
         weights=((1, 3, 3, 4), 3)),
    Case("sub broadcast, relu6", "SUB", IMAGE, fused(RELU6, "SubOptions"), (IMAGE, (1, 1, 1, 4))),
    Case("sub, left broadcast", "SUB", IMAGE, ("SubOptions", {}), ((1, 1, 1, 4), IMAGE)),
    Case("mul broadcast, relu", "MUL", IMAGE, fused(RELU, "MulOptions"), (IMAGE, (1, 1, 1, 4))),
    Case("mul by one element", "MUL", IMAGE, ("MulOptions", {}), (IMAGE, (1, 1, 1, 1))),
    Case("add, relu -1 to 1", "ADD", IMAGE, fused(RELU_N1_TO_1, "AddOptions"), (IMAGE, IMAGE)),
    Case("add of lower rank", "ADD", IMAGE, ("AddOptions", {}), (IMAGE, (4,))),
    Case("mean of channels", "MEAN", (1, 9, 7), ("ReducerOptions", {"keepDims": False}), parameters=([3],)),
    Case("mean of a batch", "MEAN", (3, 4), ("ReducerOptions", {"keepDims": False}), (BATCH,), parameters=([1, 2],)),
    Case("mean of a batch, kept", "MEAN", (3, 1, 1, 4), ("ReducerOptions", {"keepDims": True}), (BATCH,), parameters=([1, 2],)),
    Case("mean of rows", "MEAN", (3,), ("ReducerOptions", {"keepDims": False}), ((3, 9),), parameters=([1],)),
    Case("mean on one scale", "MEAN", (3, 1, 1, 4), ("ReducerOptions", {"keepDims": True}), (BATCH,), parameters=([1, 2],), like_input=True),
    Case("average pool, relu6", "AVERAGE_POOL_2D", (1, 5, 4, 4), pool(fusedActivationFunction=RELU6), like_input=True),
    Case("global average pool", "AVERAGE_POOL_2D", (1, 1, 1, 4), pool(padding=VALID, filterWidth=7, filterHeight=9), like_input=True),
    Case("max pool valid, relu", "MAX_POOL_2D", (1, 4, 3, 4), pool(padding=VALID, fusedActivationFunction=RELU), like_input=True),
    Case("quantize", "QUANTIZE", IMAGE, ("QuantizeOptions", {})),
    Case("concatenation of rows", "CONCATENATION", (1, 18, 7, 4), ("ConcatenationOptions", {"axis": 1}), (IMAGE, IMAGE), like_input=True, same_inputs=True),
    Case("relu -1 to 1", "RELU_N1_TO_1", IMAGE),
    Case("resize bilinear by powers of two", "RESIZE_BILINEAR", (1, 36, 14, 4), ("ResizeBilinearOptions", {"halfPixelCenters": True}), parameters=([36, 14],),
         like_input=True),
]
ONE_DTYPE = [
    Case("concatenation of three scales", "CONCATENATION", (1, 9, 7, 12), ("ConcatenationOptions", {"axis": 3}), (IMAGE,) * 3, dtypes=UNSIGNED),
    Case("batch matmul, neither transposed", "BATCH_MATMUL", (2, 3, 5), ("BatchMatMulOptions", {}), ((2, 3, 8), (2, 8, 5)), dtypes=SIGNED),
    Case("batch matmul, left transposed", "BATCH_MATMUL", (2, 3, 5), ("BatchMatMulOptions", {"adjX": True}), ((2, 8, 3), (2, 8, 5)), dtypes=SIGNED),
    Case("batch matmul of rank 4", "BATCH_MATMUL", (2, 3, 4, 5), ("BatchMatMulOptions", {}), ((2, 3, 4, 8), (2, 3, 8, 5)), dtypes=SIGNED),
    Case("batch matmul, one right side", "BATCH_MATMUL", (2, 3, 5), ("BatchMatMulOptions", {}), ((2, 3, 8), (1, 8, 5)), dtypes=SIGNED),
    Case("softmax of an image", "SOFTMAX", IMAGE, ("SoftmaxOptions", {"beta": 1.0}), output_quantization=SAME_UNIT, dtypes=SIGNED),
    Case("softmax of an image", "SOFTMAX", IMAGE, ("SoftmaxOptions", {"beta": 1.0}), output_quantization=(1 / 256, 0), dtypes=UNSIGNED),
    Case("exp", "EXP", IMAGE, ("ExpOptions", {}), dtypes=SIGNED),
    Case("log", "LOG", IMAGE, dtypes=SIGNED),
    Case("abs", "ABS", IMAGE, ("AbsOptions", {}), dtypes=SIGNED),
    Case("abs on one scale", "ABS", IMAGE, ("AbsOptions", {}), like_input=True, dtypes=SIGNED),
    Case("neg", "NEG", IMAGE, ("NegOptions", {}), dtypes=SIGNED),
    Case("sum of an image", "SUM", (1, 4), ("ReducerOptions", {"keepDims": False}), parameters=([1, 2],), dtypes=UNSIGNED),
    Case("sum of channels, kept", "SUM", (1, 9, 7, 1), ("ReducerOptions", {"keepDims": True}), parameters=([3],), like_input=True, dtypes=UNSIGNED),
    Case("maximum", "MAXIMUM", IMAGE, ("MaximumMinimumOptions", {}), (IMAGE, IMAGE), like_input=True, same_inputs=True, dtypes=SIGNED),
    Case("maximum of two scales", "MAXIMUM", IMAGE, ("MaximumMinimumOptions", {}), (IMAGE, (1, 1, 1, 4)), dtypes=SIGNED),
    Case("minimum of two scales", "MINIMUM", IMAGE, ("MaximumMinimumOptions", {}), (IMAGE, IMAGE), dtypes=UNSIGNED),
    Case("reduce max", "REDUCE_MAX", (1, 4), ("ReducerOptions", {"keepDims": False}), parameters=([1, 2],), like_input=True, dtypes=SIGNED),
    Case("prelu", "PRELU", IMAGE, None, (IMAGE, (1, 1, 4)), dtypes=BOTH),
    Case("mirror pad", "MIRROR_PAD", (1, 12, 8, 4), ("MirrorPadOptions", {"mode": 0}), parameters=([[0, 0], [1, 2], [0, 1], [0, 0]],), like_input=True,
         dtypes=SIGNED),
    Case("depth to space", "DEPTH_TO_SPACE", (1, 18, 14, 1), ("DepthToSpaceOptions", {"blockSize": 2}), like_input=True, dtypes=SIGNED),
    Case("tile", "TILE", (1, 9, 14, 4), ("TileOptions", {}), parameters=([1, 1, 2, 1],), like_input=True, dtypes=SIGNED),
    Case("reverse", "REVERSE_V2", IMAGE, ("ReverseV2Options", {}), parameters=([1],), like_input=True, dtypes=SIGNED),
]

OPERATORS: list[tuple[Case, str]] = [
    *((c, d) for c in IMPORTED for d in c.dtypes if d != "float32"),
    *((as_unsigned(c), "uint8") for c in IMPORTED if "uint8" not in c.dtypes and c.code not in NO_UNSIGNED),
    *((c, d) for c in BOTH_DTYPES for d in BOTH),
    *((c, d) for c in ONE_DTYPE for d in c.dtypes),
]
