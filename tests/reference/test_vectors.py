"""Exact against CMSIS-NN: the integer kernel cases of its unit tests."""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nnc_tvm.reference import evaluate
from nnc_tvm.schedules.operators import (
    AveragePool2d,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    FixedSoftmax,
    LinearCombination,
    MaxPool2d,
    Operator,
    TensorType,
)
from nnc_tvm.schedules.quantization import FixedRequantize

FOLDER = pathlib.Path(__file__).parents[3] / "shared" / "vectors"
Case = dict[str, Any]
Arrays = dict[str, np.ndarray]


def _cases() -> list[Case]:
    path = FOLDER / "int_kernels.json"
    return json.loads(path.read_text()) if path.exists() else []


@functools.cache
def _archive() -> Arrays:
    with np.load(FOLDER / "int_kernels.npz") as archive:
        return dict(archive)


def _unpack_int4(packed: np.ndarray, count: int) -> np.ndarray:
    """Two values per byte, the low nibble first."""
    pairs = np.stack([packed << 4 >> 4, packed >> 4], axis=1)
    return pairs.reshape(-1)[:count]


def _weights(case: Case, arrays: Arrays, shape: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod(shape))
    flat = _unpack_int4(arrays["weights"], count) if case["int4_weights"] else arrays["weights"]
    return flat.reshape(shape).astype(np.int16)


def _bias(arrays: Arrays, channels: int) -> np.ndarray:
    return arrays.get("biases", np.zeros(channels, np.int32))


def _requantize(config: dict[str, int], arrays: Arrays) -> FixedRequantize:
    multiplier = arrays.get("output_mult", np.array([config.get("OUTPUT_MULTIPLIER", 0)], np.int32))
    shift = arrays.get("output_shift", np.array([config.get("OUTPUT_SHIFT", 0)], np.int32))
    return FixedRequantize(multiplier, shift, config["OUTPUT_OFFSET"], config["OUT_ACTIVATION_MIN"], config["OUT_ACTIVATION_MAX"])


def _image(config: dict[str, int], name: str, channels: int) -> TensorType:
    batch = config.get("INPUT_BATCHES", config.get("BATCH_SIZE", 1))
    return TensorType((batch, config[f"{name}_H"], config[f"{name}_W"], channels), "int8")


def _window(config: dict[str, int]) -> dict[str, Any]:
    y, x = config["PAD_Y"], config["PAD_X"]
    strides, dilation = (config["STRIDE_Y"], config["STRIDE_X"]), (config.get("DILATION_Y", 1), config.get("DILATION_X", 1))
    # CMSIS-NN gives the padding before the image; what comes after follows from the output's size
    after = [max(0, (config[f"OUTPUT_{a}"] - 1) * s + (config[f"FILTER_{f}"] - 1) * d + 1 - before - config[f"INPUT_{a}"])
             for a, f, s, d, before in zip("HW", "YX", strides, dilation, (y, x), strict=True)]
    return {"strides": strides, "dilation": dilation, "padding": (y, x, after[0], after[1]), "input_zero_point": -config["INPUT_OFFSET"]}


def _conv2d(case: Case, arrays: Arrays) -> tuple[Operator, list[np.ndarray]]:
    c = case["config"]
    depth = c.get("FILTER_IN_CH", c["IN_CH"])
    weight = _weights(case, arrays, (c["OUT_CH"], c["FILTER_Y"], c["FILTER_X"], depth))
    operator = Conv2d((_image(c, "INPUT", c["IN_CH"]),), _image(c, "OUTPUT", c["OUT_CH"]), weight, _bias(arrays, c["OUT_CH"]), _requantize(c, arrays),
                      groups=c["IN_CH"] // depth, **_window(c))
    return operator, [arrays["input"]]


def _depthwise(case: Case, arrays: Arrays) -> tuple[Operator, list[np.ndarray]]:
    c = case["config"]
    weight = _weights(case, arrays, (c["FILTER_Y"], c["FILTER_X"], c["OUT_CH"]))
    operator = DepthwiseConv2d((_image(c, "INPUT", c["IN_CH"]),), _image(c, "OUTPUT", c["OUT_CH"]), weight, _bias(arrays, c["OUT_CH"]),
                               _requantize(c, arrays), **_window(c))
    return operator, [arrays["input"]]


def _dense(case: Case, arrays: Arrays) -> tuple[Operator, list[np.ndarray]]:
    c = case["config"]
    channels, batch = c["OUT_CH"], c.get("INPUT_BATCHES", c.get("BATCH_SIZE", 1))
    depth = arrays["input"].size // batch
    weight = _weights(case, arrays, (channels, depth)) + np.int16(c.get("FILTER_OFFSET", 0))
    operator = Dense((TensorType((batch, depth), "int8"),), TensorType((batch, channels), "int8"), weight, _bias(arrays, channels),
                     _requantize(c, arrays), -c["INPUT_OFFSET"])
    return operator, [arrays["input"]]


def _pool(case: Case, arrays: Arrays, average: bool) -> tuple[Operator, list[np.ndarray]]:
    c = case["config"]
    kernel, strides = (c["FILTER_H"], c["FILTER_W"]), (c["STRIDE_H"], c["STRIDE_W"])
    y, x = c["PADDING_H"], c["PADDING_W"]
    bottom, right = (max(0, (c[f"OUTPUT_{a}"] - 1) * s + k - before - c[f"INPUT_{a}"])
                     for a, s, k, before in zip("HW", strides, kernel, (y, x), strict=True))
    types = ((TensorType((c["INPUT_N"], c["INPUT_H"], c["INPUT_W"], c["INPUT_C"]), "int8"),),
             TensorType((c["INPUT_N"], c["OUTPUT_H"], c["OUTPUT_W"], c["OUTPUT_C"]), "int8"))
    low, high = c["ACTIVATION_MIN"], c["ACTIVATION_MAX"]
    operator: Operator = MaxPool2d(*types, kernel, strides, (y, x, bottom, right), low=low, high=high)
    if average:
        operator = AveragePool2d(*types, kernel, strides, (y, x, bottom, right), False, 0, None, low, high)
    return operator, [arrays["input_tensor"]]


def _add(case: Case, arrays: Arrays) -> tuple[Operator, list[np.ndarray]]:
    c = case["config"]
    tensor = TensorType(arrays["input1"].shape, "int8")
    requantize = FixedRequantize(np.array([c["OUTPUT_MULT"]], np.int32), np.array([c["OUTPUT_SHIFT"]], np.int32), c["OUTPUT_OFFSET"],
                                 c["OUT_ACTIVATION_MIN"], c["OUT_ACTIVATION_MAX"])
    operator = LinearCombination((tensor, tensor), tensor, (-c["INPUT1_OFFSET"], -c["INPUT2_OFFSET"]), (c["INPUT1_MULT"], c["INPUT2_MULT"]),
                                 (c["INPUT1_SHIFT"], c["INPUT2_SHIFT"]), c["LEFT_SHIFT"], requantize)
    return operator, [arrays["input1"], arrays["input2"]]


def _softmax(case: Case, arrays: Arrays) -> tuple[Operator, list[np.ndarray]]:
    c = case["config"]
    tensor = TensorType((c["NUM_ROWS"], c["ROW_SIZE"]), "int8")
    return FixedSoftmax((tensor,), tensor, c["INPUT_MULT"], c["INPUT_LEFT_SHIFT"], c["DIFF_MIN"]), [arrays["input"]]


BUILDERS: dict[str, Callable[[Case, Arrays], tuple[Operator, list[np.ndarray]]]] = {
    "avgpool": functools.partial(_pool, average=True), "max_pool": functools.partial(_pool, average=False), "convolve": _conv2d,
    "depthwise": _depthwise, "fully_connected": _dense, "elementwise_add": _add, "softmax": _softmax,
}


def test_cases_are_there() -> None:
    if not FOLDER.exists():
        pytest.skip("../shared/vectors is absent")
    assert len(_cases()) == 40


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case['test']}-{case['case']}") for case in _cases()])
def test_equals_cmsis_nn(case: Case) -> None:
    prefix = f"{case['case']}/"
    arrays = {name.removeprefix(prefix): array for name, array in _archive().items() if name.startswith(prefix)}
    build = next(build for word, build in BUILDERS.items() if word in case["test"])
    operator, inputs = build(case, arrays)
    shaped = [x.reshape(kind.shape) for x, kind in zip(inputs, operator.inputs, strict=True)]
    expected = arrays["output_ref"] if "output_ref" in arrays else arrays["output"]
    np.testing.assert_array_equal(evaluate(operator, *shaped).reshape(-1), expected)
