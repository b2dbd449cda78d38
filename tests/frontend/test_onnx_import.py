"""One-operator ONNX models: the imported module, run by TVM, gives what ONNX Runtime gives."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from nnc_tvm.frontend import load
from tests.frontend.execute import execute
from tests.frontend.onnx_builder import model_of, run_reference, save

SEED = 20
rng = np.random.default_rng(SEED)
IMAGE = (1, 4, 9, 7)


def randn(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


@dataclass
class Case:
    """One node `op` reading x (and the constants, in order)."""

    name: str
    op: str
    shape: tuple[int, ...] = IMAGE
    constants: tuple[Any, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 17
    outputs: int = 1
    domain: str = ""


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


F = np.float32
ASYMMETRIC = {"coordinate_transformation_mode": "asymmetric"}
CASES = [
    Case("conv", "Conv", constants=(randn(6, 4, 3, 3), randn(6))),
    Case("conv asymmetric padding, stride, dilation", "Conv", constants=(randn(5, 4, 3, 2),),
         attributes={"pads": [1, 0, 2, 3], "strides": [2, 1], "dilations": [2, 2]}),
    Case("conv grouped", "Conv", constants=(randn(6, 2, 3, 3),), attributes={"group": 2, "pads": [1, 1, 1, 1]}),
    Case("conv depthwise, multiplier 2", "Conv", constants=(randn(8, 1, 3, 3), randn(8)), attributes={"group": 4}),
    Case("conv SAME_UPPER", "Conv", constants=(randn(6, 4, 4, 3),), attributes={"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Case("conv SAME_LOWER", "Conv", constants=(randn(6, 4, 4, 3),), attributes={"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    Case("conv VALID", "Conv", constants=(randn(6, 4, 3, 3),), attributes={"auto_pad": "VALID"}),
    Case("transposed conv", "ConvTranspose", constants=(randn(4, 5, 2, 2), randn(5)), attributes={"strides": [2, 2]}),
    Case("transposed conv, padding before and after, output padding", "ConvTranspose", constants=(randn(4, 5, 3, 4), randn(5)),
         attributes={"strides": [3, 2], "pads": [1, 0, 2, 1], "output_padding": [2, 1]}),
    Case("transposed conv, dilation, stride 1", "ConvTranspose", constants=(randn(4, 5, 3, 3), randn(5)),
         attributes={"dilations": [1, 2], "pads": [1, 3, 0, 3]}),
    Case("transposed conv grouped, stride above the kernel", "ConvTranspose", constants=(randn(4, 3, 2, 3),), attributes={"group": 2, "strides": [3, 2]}),
    Case("transposed conv depthwise", "ConvTranspose", constants=(randn(4, 1, 4, 4),), attributes={"group": 4, "strides": [2, 2], "pads": [1] * 4}),
    Case("transposed conv, whole pixels cut off", "ConvTranspose", constants=(randn(4, 3, 3, 3),), attributes={"strides": [2, 2], "pads": [5, 4, 4, 6]}),
    Case("conv 1-D", "Conv", (2, 4, 11), (randn(6, 4, 3), randn(6)), {"pads": [2, 1], "strides": [2]}),
    Case("batch normalization", "BatchNormalization", constants=(randn(4), randn(4), randn(4), np.abs(randn(4)) + F(0.1))),
    Case("gemm transposed, scaled", "Gemm", (3, 5), (randn(7, 5), randn(7)), {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    Case("gemm transA", "Gemm", (5, 3), (randn(5, 7),), {"transA": 1}),
    Case("matmul 3-D", "MatMul", (2, 3, 5), (randn(5, 7),)),
    Case("matmul batched", "MatMul", (2, 3, 5), (randn(2, 5, 7),)),
    Case("add", "Add", constants=(randn(4, 1, 1),)),
    Case("sub", "Sub", constants=(randn(*IMAGE),)),
    Case("mul", "Mul", constants=(F(3),)),
    Case("div", "Div", constants=(F(3),)),
    Case("average pool", "AveragePool", attributes={"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    Case("average pool, padding counts", "AveragePool", attributes={"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    Case("average pool, ceil", "AveragePool", attributes={"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    Case("average pool, ceil, padding counts", "AveragePool",
         attributes={"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1, "count_include_pad": 1}),
    Case("average pool SAME_UPPER", "AveragePool", attributes={"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    Case("average pool 1-D", "AveragePool", (1, 4, 11), attributes={"kernel_shape": [3], "strides": [2]}),
    Case("max pool", "MaxPool", attributes={"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [2, 2]}),
    Case("max pool, ceil", "MaxPool", attributes={"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [0, 0, 1, 1]}),
    Case("max pool, dilated", "MaxPool", attributes={"kernel_shape": [3, 3], "dilations": [2, 2]}),
    Case("max pool 1-D", "MaxPool", (1, 4, 11), attributes={"kernel_shape": [2], "strides": [2]}),
    Case("global average pool", "GlobalAveragePool"),
    Case("global max pool", "GlobalMaxPool"),
    Case("mean, attribute", "ReduceMean", attributes={"axes": [2, 3], "keepdims": 0}),
    Case("mean, input", "ReduceMean", constants=(i64(-1, 2),), attributes={"keepdims": 1}, opset=18),
    Case("sum", "ReduceSum", constants=(i64(1),)),
    Case("max", "ReduceMax", attributes={"axes": [1]}),
    Case("concat with a constant", "Concat", constants=(randn(1, 2, 9, 7),), attributes={"axis": 1}),
    Case("pad", "Pad", constants=(i64(0, 0, 1, 2, 0, 0, 3, 0), F(1.5))),
    Case("pad by axes", "Pad", constants=(i64(1, 2), F(0), i64(3)), opset=18),
    Case("pad cutting", "Pad", constants=(i64(0, 0, -1, 2, 0, 0, 3, -2),)),
    Case("pad reflect", "Pad", constants=(i64(0, 0, 1, 2, 0, 0, 3, 1),), attributes={"mode": "reflect"}),
    Case("pad edge", "Pad", constants=(i64(0, 0, 1, 2, 0, 0, 3, 1),), attributes={"mode": "edge"}),
    Case("slice", "Slice", constants=(i64(1, -5), i64(1000, -1), i64(1, 2), i64(1, 2))),
    Case("slice backwards", "Slice", constants=(i64(-1), i64(-1000), i64(3), i64(-2))),
    Case("split in two", "Split", attributes={"axis": 1}, outputs=2, opset=13),
    Case("split unevenly", "Split", attributes={"axis": 3, "num_outputs": 4}, outputs=4, opset=18),
    Case("split by sizes", "Split", constants=(i64(1, 3),), attributes={"axis": 1}, outputs=2),
    Case("gather", "Gather", constants=(i64(2, 0, -1),), attributes={"axis": 1}),
    Case("gather one", "Gather", constants=(np.int64(1),), attributes={"axis": 2}),
    Case("gather elements", "GatherElements", (4, 5), (i64(0, -1, 3, 2, 1, 1).reshape(2, 3),), {"axis": 1}),
    Case("gather nd", "GatherND", (4, 5, 3), (i64(0, -1, 3, 2).reshape(2, 2),)),
    Case("gather nd, batched", "GatherND", (2, 5, 3), (i64(1, -2, 0, 2).reshape(2, 2, 1),), {"batch_dims": 1}),
    Case("scatter elements", "ScatterElements", (4, 5), (i64(0, -1, 3, 2, 1, 0).reshape(2, 3), randn(2, 3)), {"axis": 1}),
    Case("scatter elements, added", "ScatterElements", (4, 5), (i64(0, -1, 0, 2, 1, 2).reshape(2, 3), randn(2, 3)), {"axis": 1, "reduction": "add"}),
    Case("scatter elements, largest", "ScatterElements", (4, 5), (i64(0, -1, 0, 2, 1, 2).reshape(3, 2), randn(3, 2)), {"reduction": "max"}, 18),
    Case("scatter nd", "ScatterND", (4, 5, 3), (i64(0, -1, 3, 2).reshape(2, 2), randn(2, 3))),
    Case("scatter nd, multiplied", "ScatterND", (4, 5, 3), (i64(1, -3).reshape(2, 1), randn(2, 5, 3)), {"reduction": "mul"}),
    Case("running sum", "CumSum", (3, 7), (np.int64(1),)),
    Case("running sum, backwards without its own", "CumSum", (3, 7), (np.int64(-1),), {"exclusive": 1, "reverse": 1}),
    Case("gather evenly spaced", "Gather", constants=(i64(1, 3),), attributes={"axis": 3}),
    Case("reshape", "Reshape", constants=(i64(0, -1, 21),)),
    Case("flatten", "Flatten", attributes={"axis": 2}),
    Case("transpose", "Transpose", attributes={"perm": [0, 3, 1, 2]}),
    Case("squeeze", "Squeeze", constants=(i64(0),)),
    Case("unsqueeze", "Unsqueeze", constants=(i64(1, -1),)),
    Case("expand", "Expand", (1, 4, 1, 1), (i64(1, 4, 3, 2),)),
    Case("tile", "Tile", (1, 2, 3), (i64(1, 2, 3),)),
    Case("depth to space", "DepthToSpace", attributes={"blocksize": 2}),
    Case("resize nearest, floor", "Resize", constants=(None, np.array([1, 1, 2, 2], F)), attributes={"mode": "nearest", "nearest_mode": "floor", **ASYMMETRIC}),
    Case("resize nearest, half pixel", "Resize", constants=(None, None, i64(1, 4, 5, 13)), attributes={"mode": "nearest"}),
    Case("resize linear, half pixel", "Resize", constants=(None, None, i64(1, 4, 5, 13)), attributes={"mode": "linear"}),
    Case("resize linear, align corners", "Resize", constants=(None, None, i64(1, 4, 17, 13)),
         attributes={"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
    Case("resize linear, asymmetric", "Resize", constants=(None, np.array([1, 1, 2, 2], F)), attributes={"mode": "linear", **ASYMMETRIC}),
    Case("resize linear, pytorch half pixel", "Resize", constants=(None, None, i64(1, 4, 1, 13)),
         attributes={"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}),
    Case("softmax", "Softmax", (2, 10)),
    Case("softmax on channels", "Softmax", attributes={"axis": 1}),
    Case("log softmax", "LogSoftmax", (2, 10)),
    Case("relu", "Relu"),
    Case("relu6 as clip", "Clip", constants=(F(0), F(6))),
    Case("clip, one-sided", "Clip", constants=(None, F(0.5))),
    Case("clip from below", "Clip", constants=(F(-0.5),)),
    Case("leaky relu", "LeakyRelu", attributes={"alpha": 0.2}),
    Case("prelu", "PRelu", constants=(randn(4, 1, 1),)),
    Case("sigmoid", "Sigmoid"),
    Case("tanh", "Tanh"),
    Case("hard swish", "HardSwish"),
    Case("hard sigmoid", "HardSigmoid", attributes={"alpha": 1 / 6}),
    Case("gelu", "Gelu", opset=20),
    Case("gelu tanh", "Gelu", attributes={"approximate": "tanh"}, opset=20),
    Case("gelu of ONNX Runtime", "Gelu", domain="com.microsoft"),
    Case("elu", "Elu", attributes={"alpha": 0.7}),
    Case("erf", "Erf"),
    Case("exp", "Exp"),
    Case("softplus", "Softplus"),
    Case("mish", "Mish", opset=18),
    Case("selu", "Selu"),
    Case("max of two", "Max", constants=(randn(4, 1, 1),)),
    Case("min of two", "Min", constants=(randn(4, 1, 1),)),
    Case("sum of three", "Sum", constants=(randn(4, 1, 1), randn(7))),
    Case("mean of two", "Mean", constants=(randn(4, 1, 1),)),
    Case("power", "Pow", constants=(F(2),)),
    Case("power of an integer", "Pow", constants=(np.array(3),)),
    Case("prelu of one slope", "PRelu", constants=(randn(1),)),
    Case("abs", "Abs"),
    Case("layer normalization", "LayerNormalization", (2, 5, 16), (randn(16), randn(16))),
    Case("identity", "Identity"),
    Case("relu at the newest opset", "Relu", opset=onnx.defs.onnx_opset_version()),
    Case("relu at opset 11", "Relu", opset=11),
]


def build(case: Case) -> onnx.ModelProto:
    names = [f"c{i}" if c is not None else "" for i, c in enumerate(case.constants)]
    outputs = [f"y{i}" for i in range(case.outputs)]
    node = helper.make_node(case.op, ["x", *names], outputs, name="the_node", domain=case.domain, **case.attributes)
    constants = {n: c for n, c in zip(names, case.constants, strict=True) if n}
    return model_of([node], {"x": case.shape}, outputs, constants, case.opset, domains=[case.domain] if case.domain else [])


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_operator(case: Case, tmp_path: pathlib.Path) -> None:
    print("seed", SEED)
    model = build(case)
    path = save(tmp_path, model)
    x = np.random.default_rng(SEED).standard_normal(case.shape).astype(np.float32) * 3
    newer_than_the_reference = case.opset > 23
    expected = [np.maximum(x, 0)] if newer_than_the_reference else run_reference(path, {"x": x})
    source = load(path)
    assert source.inputs[0].name == "x" and [o.name for o in source.outputs] == [f"y{i}" for i in range(case.outputs)]
    found = execute(source.module, [x])
    for f, e, declared in zip(found, expected, source.outputs, strict=True):
        assert f.shape == e.shape == declared.shape and str(f.dtype) == declared.dtype
        np.testing.assert_allclose(f, e, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot(axis: int, tmp_path: pathlib.Path) -> None:
    """Negative indices count from the end, others beyond the depth give nothing."""
    model = model_of([helper.make_node("OneHot", ["x", "depth", "values"], ["y"], axis=axis)], {"x": (2, 3)}, ["y"],
                     {"depth": np.array([5]), "values": np.array([-1, 7], np.float32)}, dtype="int64", output_dtype="float32")
    x = np.array([[0, 4, 9], [-1, 2, -7]])
    path = save(tmp_path, model)
    np.testing.assert_array_equal(execute(load(path).module, [x])[0], run_reference(path, {"x": x})[0])
