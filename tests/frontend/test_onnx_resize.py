"""Resize in every form, against ONNX's reference implementation."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend import load
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.pipeline import to_program
from tests.frontend.onnx_builder import model_of, save

SEED = 41
COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize")


def resize(shape: tuple[int, ...], scales: Any = None, sizes: Any = None, roi: Any = None, opset: int = 19, **attributes: Any) -> onnx.ModelProto:
    constants = {"scales": None if scales is None else np.float32(scales), "sizes": None if sizes is None else np.int64(sizes),
                 "roi": None if roi is None else np.float32(roi)}
    given = {k: v for k, v in constants.items() if v is not None}
    inputs = ["x", *(name if name in given else "" for name in ("roi", "scales", "sizes"))]
    return model_of([helper.make_node("Resize", inputs, ["y"], "r", **attributes)], {"x": shape}, ["y"], given, opset)


def check(folder: pathlib.Path, model: onnx.ModelProto) -> list[str]:
    """Compares with the reference; the kinds of the layers."""
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)
    wanted = np.asarray(ReferenceEvaluator(model).run(None, {"x": x})[0])
    program = to_program(load(save(folder, model)).module, "float")
    found = run_program(program, {"x": x})[program.outputs[0]]
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    return [layer.operator.kind for layer in program.layers]


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("scales", [(1, 1, 0.6, 1.7), (1, 1, 2.3, 0.35), (1, 1, 0.3, 1)])
def test_fractional_scales(scales: tuple[float, ...], mode: str, coordinates: str, tmp_path: pathlib.Path) -> None:
    roi = (0, 0, 0.23, 0.13, 1, 1, 0.7, 1.3) if coordinates == "tf_crop_and_resize" else None
    check(tmp_path, resize((1, 2, 5, 6), scales, roi=roi, mode=mode, coordinate_transformation_mode=coordinates, extrapolation_value=7.5))


@pytest.mark.parametrize("exclude", [0, 1])
@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("sizes", [(1, 2, 3, 4), (1, 2, 9, 2), (1, 2, 5, 1)])
def test_antialias(sizes: tuple[int, ...], mode: str, exclude: int, tmp_path: pathlib.Path) -> None:
    check(tmp_path, resize((1, 2, 7, 8), sizes=sizes, mode=mode, antialias=1, exclude_outside=exclude, cubic_coeff_a=-0.5))


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("axes", "sizes"), [([2, 3], (7, 9)), ([3, 2], (3, 8)), ([3], (13,)), ([1, 3], (5, 4))])
def test_axes_and_policies(axes: list[int], sizes: tuple[int, ...], mode: str, policy: str, tmp_path: pathlib.Path) -> None:
    check(tmp_path, resize((1, 3, 5, 6), sizes=sizes, axes=axes, mode=mode, keep_aspect_ratio_policy=policy))


@pytest.mark.parametrize("nearest", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize(("shape", "scales"), [((2, 5), (2, 1.5)), ((1, 3, 7), (1, 1, 2)), ((1, 2, 3, 4, 5), (1, 1, 2, 0.5, 1.2)),
                                               ((3, 2, 4, 4), (1, 1.5, 2, 2))])
def test_every_rank(shape: tuple[int, ...], scales: tuple[float, ...], nearest: str, tmp_path: pathlib.Path) -> None:
    check(tmp_path, resize(shape, scales, mode="nearest", nearest_mode=nearest))
    check(tmp_path, resize(shape, scales, mode="linear"))


def test_plain_forms_keep_their_kernels(tmp_path: pathlib.Path) -> None:
    """Axes that name height and width, and scales that reach whole sizes, are written as the importer reads them."""
    for model in (resize((1, 4, 5, 6), sizes=(10, 12), axes=[2, 3], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
                  resize((1, 4, 5, 6), (1, 1, 2, 2), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")):
        assert "resize_nearest" in check(tmp_path, model)


def test_quantized_tensors_stay_integers(tmp_path: pathlib.Path) -> None:
    """What copies elements does so between QuantizeLinear and DequantizeLinear."""
    quantize = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"])
    nodes = [quantize, helper.make_node("Resize", ["q", "", "scales"], ["r"], "r", mode="nearest"),
             helper.make_node("DequantizeLinear", ["r", "s", "z"], ["y"])]
    model = model_of(nodes, {"x": (1, 2, 5, 6)}, ["y"], {"s": np.float32(0.05), "z": np.int8(3), "scales": np.float32([1, 1, 0.7, 1.3])}, 19)
    program = to_program(load(save(tmp_path, model)).module, "float")
    assert {v.type.dtype for name, v in program.values.items() if name not in (*program.inputs, *program.outputs)} == {"int8"}
    x = np.random.default_rng(SEED).standard_normal((1, 2, 5, 6)).astype(np.float32)
    wanted = np.asarray(ReferenceEvaluator(model).run(None, {"x": x})[0])
    np.testing.assert_allclose(run_program(program, {"x": x})[program.outputs[0]], wanted, atol=1e-6)


@pytest.mark.parametrize(("model", "error", "says"), [
    (resize((1, 2, 5, 6), (1, 1, 0.1, 1)), Unsupported, r"node 'r' \(Resize\): a resize from \[1, 2, 5, 6\] to \[1, 2, 0, 6\]"),
    (resize((1, 2, 5, 6), (1, 1, -2, 1)), InvalidModel, "sizes or scales"),
    (resize((1, 2, 5, 6), sizes=(3, 3, 3), axes=[2, 3]), InvalidModel, "sizes|axes"),
    (resize((1, 2, 5, 6), sizes=(3, 3), axes=[2, 9]), InvalidModel, "axes|axis"),
    (resize((1, 2, 5, 6), (1, 1, 0.7, 1), coordinate_transformation_mode="sideways"), Unsupported, "coordinate_transformation_mode 'sideways'"),
])
def test_refused(model: onnx.ModelProto, error: type[Exception], says: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(error, match=says) as found:
        load(save(tmp_path, model))
    assert "\n" not in str(found.value)
