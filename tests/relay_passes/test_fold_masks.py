"""Pruning masks: folded on floats and on integers, before and after the dequantize; refused with the first bad place."""

from __future__ import annotations

import pathlib
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper
from tvm import relax

from nnc_tvm.errors import NncError, Unsupported
from nnc_tvm.frontend import load
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.fold_masks import fold_masks
from nnc_tvm.relay_passes.masks import check_mask, check_product, is_mask
from nnc_tvm.relay_passes.pipeline import compress, to_program
from nnc_tvm.schedules.operators import Conv2d
from nnc_tvm.targets.registry import get_target
from tests.frontend.onnx_builder import model_of, save
from tests.relay_passes.ir import Builder, Expr, assert_becomes

RNG = np.random.default_rng(5)
X = {"x": ((1, 4), "float32")}
MASK = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 1], [0, 1, 0]], np.float32)
INTEGERS = RNG.integers(-127, 128, (4, 3)).astype(np.int8)


def weights(b: Builder, integers: np.ndarray, zero: object, axis: int = 1) -> Expr:
    return b(relax.op.dequantize(relax.const(integers), relax.const(np.array([0.1, 0.2, 0.3], np.float32)), relax.const(zero), axis=axis, out_dtype="float32"))


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("mask", [MASK, MASK[:1], MASK[:, :1]], ids=["full", "row", "column"])
def test_after_the_dequantize(mask: np.ndarray, swap: bool) -> None:
    zero = np.array([3, 0, -5], np.int8)

    def before(b: Builder, x: Expr) -> Expr:
        factors = [weights(b, INTEGERS, zero), relax.const(mask)]
        return b(relax.op.matmul(x, b(relax.op.multiply(*(factors[::-1] if swap else factors)))))

    def after(b: Builder, x: Expr) -> Expr:
        return b(relax.op.matmul(x, weights(b, np.where(mask, INTEGERS, zero).astype(np.int8), zero)))

    assert_becomes(fold_masks, X, before, after)


@pytest.mark.parametrize("inverted", [False, True])
def test_a_selection_by_booleans(inverted: bool) -> None:
    zero = np.zeros(3, np.int8)

    def before(b: Builder, x: Expr) -> Expr:
        sides = weights(b, INTEGERS, zero), relax.const(np.float32(0))
        return b(relax.op.matmul(x, b(relax.op.where(relax.const(MASK.astype(bool) != inverted), *(sides[::-1] if inverted else sides)))))

    assert_becomes(fold_masks, X, before, lambda b, x: b(relax.op.matmul(x, weights(b, (INTEGERS * MASK).astype(np.int8), zero))))


def test_a_selection_of_another_shape() -> None:
    def before(b: Builder, x: Expr) -> Expr:
        w = weights(b, INTEGERS, np.zeros(3, np.int8))
        return b(relax.op.matmul(x, b(relax.op.where(relax.const(np.ones((2, 4, 3), bool)), w, relax.const(np.float32(0))))))

    with pytest.raises(Unsupported, match=r"a mask of shape \[2, 4, 3\] does not fit"):
        assert_becomes(fold_masks, X, before, before)


def test_float_weights() -> None:
    w = RNG.standard_normal((4, 3)).astype(np.float32)
    assert_becomes(fold_masks, X, lambda b, x: b(relax.op.matmul(x, b(relax.op.multiply(relax.const(w), relax.const(MASK))))),
                   lambda b, x: b(relax.op.matmul(x, relax.const(np.where(MASK, w, np.float32(0))))))


def test_scales_are_no_masks() -> None:
    def body(b: Builder, x: Expr) -> Expr:
        w = weights(b, INTEGERS, np.zeros(3, np.int8))
        return b(relax.op.matmul(x, b(relax.op.multiply(w, relax.const(np.array([[0.5, 2, 1]], np.float32))))))

    assert_becomes(fold_masks, X, body, body)


def test_the_first_bad_place_is_named() -> None:
    bad = MASK.copy()
    bad[2, 1], bad[3, 2] = 0.5, 7
    with pytest.raises(Unsupported, match=r"'m': the mask of 'w' is 0\.5 at \[2, 1\]; masks are 0 or 1"):
        check_mask("m", bad, "w", (4, 3))
    with pytest.raises(Unsupported, match=r"'m': a mask of shape \[4, 2\] does not fit the weight 'w' of shape \[4, 3\]"):
        check_mask("m", bad[:, :2], "w", (4, 3))
    with pytest.raises(Unsupported, match=r"shape \[2, 4, 3\] does not fit"):
        check_mask("m", np.ones((2, 4, 3)), "w", (4, 3))
    with pytest.raises(Unsupported, match=r"0\.5 at \[2, 1\]"):
        check_product((("a", INTEGERS.astype(np.float32)), ("b", bad)))


def test_what_a_mask_is() -> None:
    assert is_mask("c", MASK) and is_mask("layer.weight_mask", MASK * 0.5)
    assert not is_mask("c", np.array([0.5, 2, 1])) and not is_mask("weight", RNG.standard_normal((4, 3)))
    assert not is_mask("decay", np.tril(0.9 ** np.arange(8.0)[:, None])) and is_mask("conv/soft_mask", np.full((4, 3), 0.5))
    check_product((("a", INTEGERS.astype(np.float32)), ("b", np.stack([MASK * 0.5, MASK, MASK, MASK]))))  # wider than the weight


def decay(dtype: type) -> np.ndarray:
    """What an attention forgets: mostly zeros, more so in float16, and ones on the diagonal."""
    age = np.arange(40)[:, None] - np.arange(40)
    return np.where(age >= 0, 0.5 ** np.maximum(age, 0), 0).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_products_that_are_no_weights_are_computed(tmp_path: pathlib.Path, dtype: type) -> None:
    """Attention whose scores are multiplied by a decay, itself the product of two constants, each like a broken mask of the other."""
    scale = RNG.uniform(0.5, 1, (40, 40)).astype(dtype)
    nodes = [helper.make_node("MatMul", ["q", "k"], ["scores"]), helper.make_node("Mul", ["decay_mask", "scale"], ["d"]),
             helper.make_node("Where", ["causal", "d", "zero"], ["w"]), helper.make_node("Cast", ["w"], ["e"], to=1),
             helper.make_node("Mul", ["scores", "e"], ["s"]),
             helper.make_node("MatMul", ["s", "v"], ["y"])]
    constants = {"decay_mask": decay(dtype), "scale": scale, "causal": np.tri(40, dtype=bool)[None], "zero": np.zeros((2, 1, 1), dtype)}
    shapes = {"q": (2, 40, 8), "k": (2, 8, 40), "v": (2, 40, 8)}
    path = save(tmp_path, model_of(nodes, shapes, ["y"], constants))
    x = {name: RNG.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    program = to_program(load(path).module, "float")
    got = run_program(program, x)[program.outputs[0]]
    np.testing.assert_allclose(got, x["q"] @ x["k"] * (decay(dtype) * scale) @ x["v"], atol=0.05 if dtype is np.float16 else 1e-4)


def test_weights_times_what_fades() -> None:
    """A product that is the weights of a matrix product, but of no mask."""
    a, b = RNG.standard_normal((4, 3)).astype(np.float32), np.array([[1, 0, 0.5], [1, 0.5, 0.25], [0, 1, 0.125], [1, 1, 0.5]], np.float32)
    assert_becomes(fold_masks, X, lambda m, x: m(relax.op.matmul(x, m(relax.op.multiply(relax.const(a), relax.const(b))))),
                   lambda m, x: m(relax.op.matmul(x, relax.const(a * b))))


def model(folder: pathlib.Path, mask: np.ndarray, quantized: bool, axis: int = 0) -> tuple[pathlib.Path, np.ndarray]:
    """A convolution whose weight is masked after its dequantize, or before its quantize, and a float one; the weight's integers, unmasked."""
    w = RNG.integers(-127, 128, (6, 4, 3, 3)).astype(np.int8)
    scale = RNG.uniform(0.01, 0.02, 6).astype(np.float32)
    zero = np.zeros(6, np.int8)
    constants = {"scale": scale, "zero": zero, "weight_mask": mask, "s": np.float32(0.05), "z": np.int8(3)}
    cast = [helper.make_node("Cast", ["weight_mask"], ["m"], to=1)] if mask.dtype == bool else [helper.make_node("Identity", ["weight_mask"], ["m"])]
    if quantized:
        constants["w"] = w
        nodes = [helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["wr"], axis=0), helper.make_node("Mul", ["wr", "m"], ["wm"])]
    else:
        constants["w"] = w.astype(np.float32) * scale.reshape(6, 1, 1, 1)
        nodes = [helper.make_node("Mul", ["w", "m"], ["masked"]), helper.make_node("QuantizeLinear", ["masked", "scale", "zero"], ["wq"], axis=0),
                 helper.make_node("DequantizeLinear", ["wq", "scale", "zero"], ["wm"], axis=0)]
    nodes = [*cast, *nodes, helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]), helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xr"]),
             helper.make_node("Conv", ["xr", "wm"], ["c"], name="conv"), helper.make_node("QuantizeLinear", ["c", "s", "z"], ["cq"]),
             helper.make_node("DequantizeLinear", ["cq", "s", "z"], ["cr"]), helper.make_node("Conv", ["cr", "w2"], ["y"])]
    constants["w2"] = RNG.standard_normal((2, 6, 1, 1)).astype(np.float32)
    return save(folder, model_of(nodes, {"x": (1, 4, 6, 6)}, ["y"], constants)), w


@pytest.mark.parametrize("dtype", [np.float32, bool])
@pytest.mark.parametrize("quantized", [True, False], ids=["after_dequantize", "before_quantize"])
def test_onnx_models(tmp_path: pathlib.Path, quantized: bool, dtype: type) -> None:
    mask = (RNG.random((6, 4, 3, 3)) < 0.5).astype(dtype)
    path, w = model(tmp_path, mask, quantized)
    program = to_program(load(path).module, "float")
    conv = next(layer.operator for layer in program.layers if isinstance(layer.operator, Conv2d))
    np.testing.assert_array_equal(conv.weight, (w * mask).transpose(0, 2, 3, 1))


def test_masked_filters_leave(tmp_path: pathlib.Path) -> None:
    mask = np.ones((6, 4, 3, 3), np.float32)
    mask[[2, 5]] = 0
    path, _ = model(tmp_path, mask, quantized=True)
    program = to_program(load(path).module, "float")
    target = replace(get_target("x86_cpu", None), optimize="size")
    small = compress(program, target)
    assert [layer.operator.output.shape[-1] for layer in small.layers if layer.operator.macs] == [4, 2]
    x = {"x": RNG.standard_normal((1, 4, 6, 6)).astype(np.float32)}
    for name in program.outputs:
        np.testing.assert_allclose(run_program(program, x)[name], run_program(small, x)[name], rtol=1e-5, atol=1e-6)
    assert compress(program, replace(target, forms=frozenset())) is program


@pytest.mark.parametrize("quantized", [True, False], ids=["after_dequantize", "before_quantize"])
def test_onnx_masks_that_are_refused(tmp_path: pathlib.Path, quantized: bool) -> None:
    mask = (RNG.random((6, 4, 3, 3)) < 0.5).astype(np.float32)
    mask[3, 1, 2, 0] = 0.25
    path, _ = model(tmp_path, mask, quantized)
    with pytest.raises(Unsupported, match=r"is 0\.25 at \[3, 1, 2, 0\]"):
        to_program(load(path).module, "float")
    path, _ = model(tmp_path, mask[:, :3], quantized)
    with pytest.raises(NncError, match=r"m|mask|shape"):
        to_program(load(path).module, "float")


def test_masks_by_name(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A mask that its name alone tells, of integers behind a dequantize; nothing else is printed."""
    mask = np.ones((6, 4, 3, 3), np.float32)
    mask[5, 0, 1, 1] = 0.5
    path, _ = model(tmp_path, mask, quantized=True)
    proto = onnx.load(path)
    nodes = [n for n in proto.graph.node if n.op_type != "Identity"]
    for node in nodes:
        node.input[:] = ["weight_mask" if name == "m" else name for name in node.input]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    with pytest.raises(Unsupported, match=r"'weight_mask': the mask of 'wr' is 0\.5 at \[5, 0, 1, 1\]"):
        to_program(load(save(tmp_path, proto)).module, "float")
    assert capfd.readouterr().err == ""
