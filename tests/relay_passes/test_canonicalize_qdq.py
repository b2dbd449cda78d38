"""Before and after: canonicalize_qdq."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.relay_passes.canonicalize_qdq import canonicalize_qdq
from tests.relay_passes.ir import Body, Builder, Expr, Inputs, assert_becomes, module_of

IMAGE: Inputs = {"x": ((1, 4, 6, 8), "int8")}
REAL: Inputs = {"x": ((1, 4, 6, 8), "float32")}
UNSIGNED: Inputs = {"x": ((1, 4, 6, 8), "uint8")}
op = relax.op


def becomes(inputs: Inputs, before: Body, after: Body, **attributes: int) -> None:
    assert_becomes(canonicalize_qdq, inputs, before, after, **attributes)


def test_movement_goes_before_the_dequantize() -> None:
    def before(b: Builder, x: Expr) -> Expr:
        return b(op.nn.relu(b(op.permute_dims(b.dequantize(x, 0.5, 3), [0, 2, 3, 1]))))

    def after(b: Builder, x: Expr) -> Expr:
        return b(op.nn.relu(b.dequantize(b(op.permute_dims(x, [0, 2, 3, 1])), 0.5, 3)))

    becomes(IMAGE, before, after)


def test_quantize_goes_before_a_reshape() -> None:
    def before(b: Builder, x: Expr) -> Expr:
        return b.quantize(b(op.reshape(b(op.nn.relu(x)), (4, 48))), 0.5)

    def after(b: Builder, x: Expr) -> Expr:
        return b(op.reshape(b.quantize(b(op.nn.relu(x)), 0.5), (4, 48)))

    becomes(REAL, before, after)


def test_activation_goes_before_a_reshape() -> None:
    def before(b: Builder, x: Expr) -> Expr:
        return b.quantize(b(op.nn.relu(b(op.reshape(b(op.abs(x)), (4, 48))))), 0.5)

    def after(b: Builder, x: Expr) -> Expr:
        return b(op.reshape(b.quantize(b(op.nn.relu(b(op.abs(x)))), 0.5), (4, 48)))

    becomes(REAL, before, after)


def test_reshapes_that_undo_each_other_vanish() -> None:
    def before(b: Builder, x: Expr) -> Expr:
        flat = b(op.reshape(x, (4, 48)))
        turned = b(op.permute_dims(b(op.reshape(flat, (1, 4, 6, 8))), [0, 2, 3, 1]))
        return b(op.abs(b(op.permute_dims(turned, [0, 3, 1, 2]))))

    becomes(REAL, before, lambda b, x: b(op.abs(x)))


def test_two_transposes_are_one() -> None:
    def before(b: Builder, x: Expr) -> Expr:
        return b(op.abs(b(op.permute_dims(b(op.permute_dims(x, [0, 2, 3, 1])), [0, 2, 1, 3]))))

    becomes(REAL, before, lambda b, x: b(op.abs(b(op.permute_dims(x, [0, 3, 2, 1])))))


def test_quantize_of_a_dequantize_on_one_scale_vanishes() -> None:
    def before(b: Builder, x: Expr) -> Expr:
        return b(op.nn.relu(b.dequantize(b.quantize(b.dequantize(x, 0.5, 3), 0.5, 3), 0.5, 3)))

    becomes(IMAGE, before, lambda b, x: b(op.nn.relu(b.dequantize(x, 0.5, 3))))


def test_padding_by_zero_is_on_the_grid() -> None:
    width = [0, 0, 1, 1, 2, 0, 0, 0]

    def before(b: Builder, x: Expr) -> Expr:
        return b(op.nn.relu(b(op.nn.pad(b.dequantize(x, 0.5, 3), width))))

    def after(b: Builder, x: Expr) -> Expr:
        return b(op.nn.relu(b.dequantize(b(op.nn.pad(x, width, pad_value=3)), 0.5, 3)))

    becomes(IMAGE, before, after)


def test_padding_off_the_grid_stays_real() -> None:
    def body(b: Builder, x: Expr) -> Expr:
        return b(op.nn.relu(b(op.nn.pad(b.dequantize(x, 0.5, 3), [0] * 6 + [1, 1], pad_value=0.3))))

    becomes(IMAGE, body, body)


def test_padding_before_a_quantize_rounds_its_value() -> None:
    width = [0] * 6 + [1, 1]

    def before(b: Builder, x: Expr) -> Expr:
        return b.quantize(b(op.nn.pad(b(op.abs(x)), width, pad_value=0.9)), 0.5, 3)

    def after(b: Builder, x: Expr) -> Expr:
        return b(op.nn.pad(b.quantize(b(op.abs(x)), 0.5, 3), width, pad_value=5))

    becomes(REAL, before, after)


def test_clip_of_integers_is_a_clip_of_reals() -> None:
    def before(b: Builder, x: Expr) -> Expr:
        return b(op.clip(b.quantize(b(op.abs(x)), 0.5, 4), 4, 20))

    def after(b: Builder, x: Expr) -> Expr:
        return b.quantize(b(op.clip(b(op.abs(x)), 0.0, 8.0)), 0.5, 4)

    becomes(REAL, before, after)


def test_clip_of_the_whole_range_vanishes() -> None:
    becomes(REAL, lambda b, x: b(op.clip(b.quantize(b(op.abs(x)), 0.5), -128, 127)), lambda b, x: b.quantize(b(op.abs(x)), 0.5))


def test_concatenation_of_one_scale_is_of_integers() -> None:
    def before(b: Builder, x: Expr) -> Expr:
        return b(op.nn.relu(b(op.concat([b.dequantize(x, 0.5, 3), b.dequantize(x, 0.5, 3)], axis=1))))

    becomes(IMAGE, before, lambda b, x: b(op.nn.relu(b.dequantize(b(op.concat([x, x], axis=1)), 0.5, 3))))


def test_concatenation_brings_inputs_to_the_output_scale() -> None:
    constant = np.full((1, 4, 6, 8), 0.8, np.float32)

    def before(b: Builder, x: Expr) -> Expr:
        return b.quantize(b(op.concat([b.dequantize(x, 0.5, 3), b.dequantize(x, 0.25, 1), relax.const(constant)], axis=1)), 0.25, 1)

    def after(b: Builder, x: Expr) -> Expr:
        return b(op.concat([b.quantize(b.dequantize(x, 0.5, 3), 0.25, 1), x, relax.const(np.full_like(constant, 4).astype(np.int8))], axis=1))

    becomes(IMAGE, before, after)


def test_constants_are_quantized_now() -> None:
    def before(b: Builder, x: Expr) -> Expr:
        return b(op.add(x, b.quantize(relax.const(np.array([0.5, 0.75, 100], np.float32)), 0.5, 3)))

    becomes({"x": ((4, 3), "int8")}, before, lambda b, x: b(op.add(x, relax.const(np.array([4, 5, 127], np.int8)))))


def test_constants_are_moved_now() -> None:
    value = np.arange(6, dtype=np.int8).reshape(2, 3)

    def before(b: Builder, x: Expr) -> Expr:
        return b(op.matmul(x, b(op.permute_dims(b.dequantize(relax.const(value), 0.5, 1), [1, 0]))))

    becomes({"x": ((4, 3), "float32")}, before, lambda b, x: b(op.matmul(x, b.dequantize(relax.const(np.ascontiguousarray(value.T)), 0.5, 1))))


def test_scales_of_channels_follow_a_transpose() -> None:
    value, scale = np.zeros((2, 3), np.int8), relax.const(np.array([0.5, 0.25], np.float32))

    def dequantize(b: Builder, v: np.ndarray, axis: int) -> Expr:
        return b(op.dequantize(relax.const(v), scale, relax.const(np.zeros(2, np.int32)), axis=axis, out_dtype="float32"))

    becomes({"x": ((4, 3), "float32")}, lambda b, x: b(op.matmul(x, b(op.permute_dims(dequantize(b, value, 0), [1, 0])))),
            lambda b, x: b(op.matmul(x, dequantize(b, np.ascontiguousarray(value.T), 1))))


def test_unsigned_tensors_become_signed_between_the_doors() -> None:
    def before(b: Builder, x: Expr) -> Expr:
        return b.quantize(b(op.nn.relu(b.dequantize(x, 0.5, 131))), 0.25, 128, "uint8")

    def after(b: Builder, x: Expr) -> Expr:
        inside = b.quantize(b.dequantize(x, 0.5, 131), 0.5, 3)
        y = b.quantize(b(op.nn.relu(b.dequantize(inside, 0.5, 3))), 0.25, 0)
        return b.quantize(b.dequantize(y, 0.25, 0), 0.25, 128, "uint8")

    becomes(UNSIGNED, before, after, nnc__unsigned_activations=1)


def test_a_cast_reads_the_unsigned_integers() -> None:
    def before(b: Builder, x: Expr) -> list[Expr]:
        turned = b(op.reshape(x, (4, 48)))
        return [b(op.abs(b.dequantize(turned, 0.5, 131))), b(op.astype(turned, "float32"))]

    def after(b: Builder, x: Expr) -> list[Expr]:
        turned = b(op.reshape(b.quantize(b.dequantize(x, 0.5, 131), 0.5, 3), (4, 48)))
        real = b(op.abs(b.dequantize(turned, 0.5, 3)))
        return [real, b(op.astype(b.quantize(b.dequantize(turned, 0.5, 3), 0.5, 131, "uint8"), "float32"))]

    becomes(UNSIGNED, before, after)


def test_twice_is_once() -> None:
    def before(b: Builder, x: Expr) -> Expr:
        return b.quantize(b(op.nn.relu(b(op.reshape(b.dequantize(x, 0.5, 131), (4, 48))))), 0.25, 128, "uint8")

    once = canonicalize_qdq(module_of(UNSIGNED, before))
    clean = relax.transform.DeadCodeElimination(["main"])
    tvm.ir.assert_structural_equal(clean(canonicalize_qdq(once)), clean(once))


def test_a_bias_behind_a_reshape_is_added_before_it() -> None:
    bias, w = np.arange(5, dtype=np.float32), np.ones((8, 5), np.float32)

    def before(b: Builder, x: Expr) -> Expr:
        return b(op.nn.relu(b(op.add(b(op.reshape(b(op.matmul(x, relax.const(w))), (2, 3, 5))), relax.const(bias)))))

    def after(b: Builder, x: Expr) -> Expr:
        return b(op.reshape(b(op.nn.relu(b(op.add(b(op.matmul(x, relax.const(w))), relax.const(bias))))), (2, 3, 5)))

    becomes({"x": ((6, 8), "float32")}, before, after)


def test_bias_behind_moves_is_that_of_what_they_move() -> None:
    """Channels for each place of 2x2 become neighbours in an image, which is cut: one value of the bias for four channels."""
    def moves(b: Builder, x: Expr) -> Expr:
        apart = b(op.permute_dims(b(op.reshape(x, (3, 4, 2, 2, 5))), [0, 2, 1, 3, 4]))
        return b(op.strided_slice(b(op.reshape(apart, (1, 6, 8, 5))), [1, 2], [1, 0], [6, 7]))

    def before(b: Builder, x: Expr) -> Expr:
        return b(op.nn.relu(b(op.add(moves(b, b(op.abs(x))), relax.const(np.arange(5, dtype=np.float32))))))

    def after(b: Builder, x: Expr) -> Expr:
        bias = relax.const(np.tile(np.arange(5, dtype=np.float32), 4))
        return moves(b, b(op.nn.relu(b(op.add(b(op.abs(x)), bias)))))

    becomes({"x": ((1, 3, 4, 20), "float32")}, before, after)


def test_other_sums_behind_a_reshape_stay() -> None:
    """A bias that would lie along two axes."""
    def body(b: Builder, x: Expr) -> Expr:
        return b(op.add(b(op.reshape(b(op.abs(x)), (48,))), relax.const(np.ones(48, np.float32))))

    becomes({"x": ((6, 8), "float32")}, body, body)


def test_dynamic_integers_are_moved() -> None:
    """A reshape of what is dequantized by a scale of the run is one of its integers."""
    def before(b: Builder, q: Expr, scale: Expr, zero: Expr) -> Expr:
        return b(op.reshape(b(op.dequantize(q, scale, zero, axis=0, out_dtype="float32")), (4, 12)))

    def after(b: Builder, q: Expr, scale: Expr, zero: Expr) -> Expr:
        return b(op.dequantize(b(op.reshape(q, (4, 12))), scale, zero, axis=0, out_dtype="float32"))

    becomes({"q": ((6, 8), "int8"), "scale": ((), "float32"), "zero": ((), "int8")}, before, after)
