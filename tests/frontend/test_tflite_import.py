"""One-operator TFLite models, float, int8 and uint8: the imported module, run by TVM, gives what LiteRT's reference kernels give.

Float results agree to rounding; quantized ones to one step, because the QDQ module rounds once in float where LiteRT's kernels work in fixed point.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from nnc_tvm.frontend import load
from tests.frontend.execute import execute
from tests.tflite_builder import NONE, RELU, RELU6, SAME, VALID, Node, Tensor, build_model, constant, run_reference

SEED = 21
IMAGE = (1, 9, 7, 4)
pytest.importorskip("ai_edge_litert", reason="LiteRT is the reference")


@dataclass
class Case:
    """code: BuiltinOperator. shapes: of the inputs. parameters: int32 constants behind them. like_input: the output has the input's scale.

    same_inputs: all inputs have one scale. function: the expected reals, for operators that the reference interpreter lacks.
    weights: the shape of constant weights as input 1 and the axis of their channels, with a bias as input 2.
    """

    name: str
    code: str
    output: tuple[int, ...]
    options: tuple[str, dict[str, Any]] | None = None
    shapes: tuple[tuple[int, ...], ...] = (IMAGE,)
    parameters: tuple[Any, ...] = ()
    like_input: bool = False
    parameters_first: bool = False
    weights: tuple[tuple[int, ...], int] | None = None
    outputs: int = 1
    dtypes: tuple[str, ...] = ("float32", "int8")
    steps: int = 1
    output_quantization: tuple[float, int] | None = None
    same_inputs: bool = False
    function: Callable[[np.ndarray], np.ndarray] | None = None


def conv(**kw: Any) -> tuple[str, dict[str, Any]]:
    return "Conv2DOptions", {"padding": SAME, "strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "fusedActivationFunction": NONE, **kw}


def depthwise(multiplier: int, **kw: Any) -> tuple[str, dict[str, Any]]:
    return "DepthwiseConv2DOptions", {**conv(**kw)[1], "depthMultiplier": multiplier}


def pool(**kw: Any) -> tuple[str, dict[str, Any]]:
    return "Pool2DOptions", {"padding": SAME, "strideW": 2, "strideH": 2, "filterWidth": 3, "filterHeight": 2, "fusedActivationFunction": NONE, **kw}


def slices(**kw: int) -> tuple[str, dict[str, Any]]:
    return "StridedSliceOptions", kw


FLOAT, ALL = ("float32",), ("float32", "int8", "uint8")
CASES = [
    Case("conv", "CONV_2D", (1, 9, 7, 6), conv(), weights=((6, 3, 3, 4), 0), dtypes=ALL),
    Case("conv strided, relu6", "CONV_2D", (1, 5, 4, 6), conv(strideW=2, strideH=2, fusedActivationFunction=RELU6), weights=((6, 4, 3, 4), 0)),
    Case("conv valid, dilated, relu", "CONV_2D", (1, 5, 3, 6), conv(padding=VALID, dilationWFactor=2, dilationHFactor=2, fusedActivationFunction=RELU),
         weights=((6, 3, 3, 4), 0)),
    Case("conv grouped", "CONV_2D", (1, 9, 7, 6), conv(), weights=((6, 3, 3, 2), 0)),
    Case("depthwise", "DEPTHWISE_CONV_2D", (1, 9, 7, 4), depthwise(1), weights=((1, 3, 3, 4), 3), dtypes=ALL),
    Case("depthwise, multiplier 3, strided", "DEPTHWISE_CONV_2D", (1, 5, 4, 12), depthwise(3, strideW=2, strideH=2), weights=((1, 3, 3, 12), 3), dtypes=ALL),
    Case("depthwise of one channel", "DEPTHWISE_CONV_2D", (1, 9, 7, 5), depthwise(5), ((1, 9, 7, 1),), weights=((1, 3, 3, 5), 3), dtypes=ALL),
    Case("dense", "FULLY_CONNECTED", (3, 5), ("FullyConnectedOptions", {}), ((3, 8),), weights=((5, 8), 0), dtypes=ALL),
    Case("dense, relu", "FULLY_CONNECTED", (3, 5), ("FullyConnectedOptions", {"fusedActivationFunction": RELU}), ((3, 8),), weights=((5, 8), 0)),
    Case("dense flattening", "FULLY_CONNECTED", (1, 5), ("FullyConnectedOptions", {}), ((1, 2, 2, 3),), weights=((5, 12), 0)),
    Case("dense keeping dimensions", "FULLY_CONNECTED", (2, 3, 5), ("FullyConnectedOptions", {"keepNumDims": True}), ((2, 3, 8),), weights=((5, 8), 0)),
    Case("add", "ADD", IMAGE, ("AddOptions", {}), (IMAGE, IMAGE), dtypes=ALL),
    Case("add broadcast, relu", "ADD", IMAGE, ("AddOptions", {"fusedActivationFunction": RELU}), (IMAGE, (1, 1, 1, 4))),
    Case("sub", "SUB", IMAGE, ("SubOptions", {}), (IMAGE, IMAGE)),
    Case("mul", "MUL", IMAGE, ("MulOptions", {}), (IMAGE, IMAGE)),
    Case("maximum", "MAXIMUM", IMAGE, ("MaximumMinimumOptions", {}), (IMAGE, IMAGE), dtypes=FLOAT),
    Case("average pool", "AVERAGE_POOL_2D", (1, 5, 4, 4), pool(), like_input=True, dtypes=ALL),
    Case("average pool valid, relu", "AVERAGE_POOL_2D", (1, 4, 3, 4), pool(padding=VALID, fusedActivationFunction=RELU), like_input=True),
    Case("max pool", "MAX_POOL_2D", (1, 5, 4, 4), pool(), like_input=True, dtypes=ALL),
    Case("max pool, relu6", "MAX_POOL_2D", (1, 5, 4, 4), pool(fusedActivationFunction=RELU6), like_input=True),
    Case("mean", "MEAN", (1, 4), ("ReducerOptions", {"keepDims": False}), parameters=([1, 2],), dtypes=ALL),
    Case("mean kept", "MEAN", (1, 1, 1, 4), ("ReducerOptions", {"keepDims": True}), parameters=([1, -2],)),
    Case("sum", "SUM", (1, 4), ("ReducerOptions", {"keepDims": False}), parameters=([1, 2],), dtypes=FLOAT),
    Case("concatenation", "CONCATENATION", (1, 9, 7, 8), ("ConcatenationOptions", {"axis": -1}), (IMAGE, IMAGE), like_input=True, same_inputs=True),
    Case("concatenation of scales", "CONCATENATION", (1, 9, 7, 8), ("ConcatenationOptions", {"axis": 3}), (IMAGE, IMAGE), dtypes=("uint8",)),
    Case("pad", "PAD", (1, 12, 8, 4), ("PadOptions", {}), parameters=([[0, 0], [1, 2], [0, 1], [0, 0]],), like_input=True, dtypes=ALL),
    Case("slice", "SLICE", (1, 3, 5, 2), ("SliceOptions", {}), parameters=([0, 2, 2, 1], [1, 3, -1, 2]), like_input=True),
    Case("strided slice", "STRIDED_SLICE", (1, 4, 4, 4), slices(), parameters=([0, 1, 6, 0], [1, 8, 2, 4], [1, 2, -1, 1]), like_input=True),
    Case("strided slice with masks", "STRIDED_SLICE", (1, 4, 7, 4), slices(beginMask=13, endMask=13),
         parameters=([0, 1, 0, 0], [0, 8, 0, 0], [1, 2, 1, 1]), like_input=True),
    Case("strided slice backwards", "STRIDED_SLICE", (1, 9, 7, 4), slices(beginMask=15, endMask=15),
         parameters=([0] * 4, [0] * 4, [1, -1, 1, 1]), like_input=True),
    Case("strided slice shrinking", "STRIDED_SLICE", (9, 7, 4), slices(beginMask=14, endMask=14, shrinkAxisMask=1),
         parameters=([0] * 4, [1, 0, 0, 0], [1] * 4), like_input=True),
    Case("reshape", "RESHAPE", (3, 84), ("ReshapeOptions", {"newShape": [3, 84]}), parameters=([3, 84],), like_input=True),
    Case("squeeze", "SQUEEZE", (9, 7, 4), ("SqueezeOptions", {"squeezeDims": [0]}), like_input=True),
    Case("expand dims", "EXPAND_DIMS", (1, 9, 1, 7, 4), ("ExpandDimsOptions", {}), parameters=(2,), like_input=True),
    Case("transpose", "TRANSPOSE", (1, 4, 9, 7), ("TransposeOptions", {}), parameters=([0, 3, 1, 2],), like_input=True),
    Case("pack", "PACK", (2, 3, 5), ("PackOptions", {"valuesCount": 2, "axis": 0}), ((3, 5), (3, 5)), like_input=True, same_inputs=True),
    Case("unpack", "UNPACK", (3, 5), ("UnpackOptions", {"num": 2, "axis": 0}), ((2, 3, 5),), outputs=2, like_input=True),
    Case("split", "SPLIT", (1, 9, 7, 2), ("SplitOptions", {"numSplits": 2}), parameters=(3,), parameters_first=True, outputs=2, like_input=True),
    Case("resize bilinear", "RESIZE_BILINEAR", (1, 13, 5, 4), ("ResizeBilinearOptions", {}), parameters=([13, 5],), like_input=True),
    Case("resize bilinear, half pixels", "RESIZE_BILINEAR", (1, 13, 5, 4), ("ResizeBilinearOptions", {"halfPixelCenters": True}),
         parameters=([13, 5],), like_input=True),
    Case("resize bilinear, corners", "RESIZE_BILINEAR", (1, 13, 5, 4), ("ResizeBilinearOptions", {"alignCorners": True}),
         parameters=([13, 5],), like_input=True),
    Case("resize nearest", "RESIZE_NEAREST_NEIGHBOR", (1, 13, 5, 4), ("ResizeNearestNeighborOptions", {}), parameters=([13, 5],), like_input=True),
    Case("resize nearest, half pixels", "RESIZE_NEAREST_NEIGHBOR", (1, 13, 5, 4), ("ResizeNearestNeighborOptions", {"halfPixelCenters": True}),
         parameters=([13, 5],),
         like_input=True),
    Case("resize nearest, corners", "RESIZE_NEAREST_NEIGHBOR", (1, 13, 5, 4), ("ResizeNearestNeighborOptions", {"alignCorners": True}),
         parameters=([13, 5],), like_input=True),
    Case("softmax", "SOFTMAX", (3, 8), ("SoftmaxOptions", {"beta": 1.0}), ((3, 8),), output_quantization=(1 / 256, -128)),
    Case("softmax, beta", "SOFTMAX", (3, 8), ("SoftmaxOptions", {"beta": 0.5}), ((3, 8),), output_quantization=(1 / 256, -128)),
    Case("logistic", "LOGISTIC", IMAGE, output_quantization=(1 / 256, -128)),
    Case("tanh", "TANH", IMAGE, output_quantization=(1 / 128, 0)),
    Case("relu", "RELU", IMAGE),
    Case("relu6", "RELU6", IMAGE),
    Case("relu -1 to 1", "RELU_N1_TO_1", IMAGE, dtypes=FLOAT),
    Case("leaky relu", "LEAKY_RELU", IMAGE, ("LeakyReluOptions", {"alpha": 0.3})),
    Case("prelu", "PRELU", IMAGE, None, (IMAGE, (1, 1, 4)), dtypes=FLOAT),
    Case("hard swish", "HARD_SWISH", IMAGE, ("HardSwishOptions", {})),
    Case("elu", "ELU", IMAGE, function=lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    Case("gelu", "GELU", IMAGE, ("GeluOptions", {"approximate": False})),
    Case("gelu tanh", "GELU", IMAGE, ("GeluOptions", {"approximate": True})),
    Case("batch matmul", "BATCH_MATMUL", (2, 3, 5), ("BatchMatMulOptions", {"adjX": False, "adjY": True}), ((2, 3, 8), (2, 5, 8))),
    Case("gather", "GATHER", (1, 9, 7, 3), ("GatherOptions", {"axis": 3}), parameters=([2, 0, 1],), like_input=True),
    Case("depth to space", "DEPTH_TO_SPACE", (1, 18, 14, 1), ("DepthToSpaceOptions", {"blockSize": 2}), like_input=True, dtypes=FLOAT),
]


def build(case: Case, dtype: str) -> tuple[bytes, dict[str, np.ndarray]]:
    """(file, input values): distinct scales and zero points for every tensor of a quantized model."""
    rng = np.random.default_rng(SEED)
    quantized = dtype != "float32"
    middle = 128 if dtype == "uint8" else 0
    scales = [0.05, 0.03]
    tensors, inputs, names = [], {}, []
    for i, shape in enumerate(case.shapes):
        name = f"x{i}"
        first = i == 0 or case.same_inputs
        tensors.append(Tensor(name, shape, dtype, *((scales[0 if first else 1], middle + (5 if first else -7)) if quantized else (None, 0))))
        names.append(name)
        inputs[name] = rng.integers(0, 256, shape).astype(np.uint8).view(np.dtype(dtype)) if quantized else rng.standard_normal(shape).astype(np.float32) * 3
    if case.weights is not None:
        shape, axis = case.weights
        channels = shape[axis]
        bias = rng.integers(-900, 900, channels).astype(np.int32)
        if dtype == "int8":
            w_scale = rng.uniform(0.01, 0.03, channels).astype(np.float32)
            tensors += [constant("w", rng.integers(-127, 128, shape).astype(np.int8), w_scale, 0, axis), constant("b", bias, w_scale * np.float32(0.05))]
        elif dtype == "uint8":
            tensors += [constant("w", rng.integers(0, 256, shape).astype(np.uint8), 0.02, 117), constant("b", bias, 0.02 * 0.05)]
        else:
            tensors += [constant("w", rng.standard_normal(shape).astype(np.float32)), constant("b", rng.standard_normal(channels).astype(np.float32))]
        names += ["w", "b"]
    tensors += [constant(f"p{i}", np.asarray(p, np.int32)) for i, p in enumerate(case.parameters)]
    parameters = [f"p{i}" for i in range(len(case.parameters))]
    names = [*parameters, *names] if case.parameters_first else [*names, *parameters]
    out = (None, 0)
    if quantized:
        out = case.output_quantization or ((scales[0], middle + 5) if case.like_input else (0.1, middle - 9))
    outputs = [f"y{i}" for i in range(case.outputs)]
    tensors += [Tensor(name, case.output, dtype, *out) for name in outputs]
    return build_model(tensors, [Node(case.code, tuple(names), tuple(outputs), case.options)], list(inputs), outputs), inputs


def expect(case: Case, dtype: str, x: np.ndarray) -> dict[str, np.ndarray]:
    """The output by the case's function; int8 with the scales that `build` gives."""
    assert case.function is not None
    if dtype == "float32":
        return {"y0": case.function(x)}
    return {"y0": np.clip(np.rint(case.function((x.astype(np.float64) - 5) * 0.05) / 0.1) - 9, -128, 127).astype(np.int8)}


@pytest.mark.parametrize(("case", "dtype"), [pytest.param(c, d, id=f"{c.name}, {d}") for c in CASES for d in c.dtypes])
def test_operator(case: Case, dtype: str, tmp_path: pathlib.Path) -> None:
    print("seed", SEED)
    data, inputs = build(case, dtype)
    expected = run_reference(data, inputs) if case.function is None else expect(case, dtype, inputs["x0"])
    (tmp_path / "model.tflite").write_bytes(data)
    source = load(tmp_path / "model.tflite")
    assert [t.name for t in source.inputs] == list(inputs)
    found = execute(source.module, list(inputs.values()))
    for f, tensor in zip(found, source.outputs, strict=True):
        e = expected[tensor.name]
        assert f.shape == e.shape == tensor.shape and str(f.dtype) == dtype == tensor.dtype
        if dtype == "float32":
            np.testing.assert_allclose(f, e, rtol=2e-4, atol=2e-5)
        else:
            off = np.abs(f.astype(np.int32) - e.astype(np.int32))
            assert off.max() <= case.steps and (off > 0).mean() < 0.25, (off.max(), (off > 0).mean())
            assert len(np.unique(e)) > 2
