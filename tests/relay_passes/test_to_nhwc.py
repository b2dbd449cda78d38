"""Before and after: to_nhwc."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from nnc_tvm.relay_passes.to_nhwc import to_nhwc
from tests.relay_passes.ir import Body, Builder, Expr, Inputs, assert_becomes

IMAGE: Inputs = {"x": ((1, 4, 6, 8), "float32")}
WEIGHT = relax.const(np.zeros((5, 4, 3, 3), np.float32))
op = relax.op


def conv(b: Builder, x: Expr, nhwc: bool) -> Expr:
    layouts = {"data_layout": "NHWC", "out_layout": "NHWC"} if nhwc else {"data_layout": "NCHW"}
    return b(op.nn.conv2d(x, WEIGHT, padding=[1, 1, 1, 1], kernel_layout="OIHW", **layouts))


def last(b: Builder, x: Expr) -> Expr:
    return b(op.permute_dims(x, [0, 2, 3, 1]))


def first(b: Builder, x: Expr) -> Expr:
    return b(op.permute_dims(x, [0, 3, 1, 2]))


def becomes(before: Body, after: Body) -> None:
    assert_becomes(to_nhwc, IMAGE, before, after)


def between(operator: Any, turned: Any = None) -> None:
    """conv, operator, in NCHW: the layout changes at the doors alone; `turned` is the operator in NHWC."""
    becomes(lambda b, x: b(operator(conv(b, x, False))), lambda b, x: first(b, b((turned or operator)(conv(b, last(b, x), True)))))


def test_layout_changes_at_the_doors() -> None:
    def before(b: Builder, x: Expr) -> Expr:
        return b(op.nn.max_pool2d(b(op.nn.relu(conv(b, x, False))), [2, 2], [2, 2], layout="NCHW"))

    def after(b: Builder, x: Expr) -> Expr:
        y = b(op.nn.relu(conv(b, last(b, x), True)))
        return first(b, b(op.nn.max_pool2d(y, [2, 2], [2, 2], layout="NHWC", out_layout="NHWC")))

    becomes(before, after)


def test_constants_of_lower_rank_are_broadcast() -> None:
    bias = np.arange(5, dtype=np.float32).reshape(5, 1, 1)
    between(lambda y: op.add(y, relax.const(bias)), lambda y: op.add(y, relax.const(bias.reshape(1, 1, 1, 5))))


def test_padding_follows_its_axes() -> None:
    between(lambda y: op.nn.pad(y, [0, 0, 1, 2, 3, 4, 5, 6]), lambda y: op.nn.pad(y, [0, 0, 3, 4, 5, 6, 1, 2]))


def test_slices_follow_their_axes() -> None:
    between(lambda y: op.strided_slice(y, axes=[1, 3], begin=[0, 2], end=[2, 6]), lambda y: op.strided_slice(y, axes=[3, 2], begin=[0, 2], end=[2, 6]))


def test_concatenation_follows_its_axis() -> None:
    between(lambda y: op.concat([y, y], axis=1), lambda y: op.concat([y, y], axis=3))


def test_mean_that_keeps_its_axes() -> None:
    between(lambda y: op.mean(y, axis=[2, 3], keepdims=True), lambda y: op.mean(y, axis=[1, 2], keepdims=True))


def test_mean_that_drops_its_axes_needs_no_way_back() -> None:
    becomes(lambda b, x: b(op.mean(conv(b, x, False), axis=[2, 3])), lambda b, x: b(op.mean(conv(b, last(b, x), True), axis=[1, 2])))


def test_mean_that_leaves_a_turned_image_goes_back() -> None:
    becomes(lambda b, x: b(op.mean(conv(b, x, False), axis=[1])), lambda b, x: b(op.mean(first(b, conv(b, last(b, x), True)), axis=[1])))


def test_flattening_one_pixel_needs_no_way_back() -> None:
    def pooled(b: Builder, y: Expr, axes: list[int]) -> Expr:
        return b(op.reshape(b(op.mean(y, axis=axes, keepdims=True)), (1, 5)))

    becomes(lambda b, x: pooled(b, conv(b, x, False), [2, 3]), lambda b, x: pooled(b, conv(b, last(b, x), True), [1, 2]))


def test_flattening_an_image_goes_back() -> None:
    becomes(lambda b, x: b(op.reshape(conv(b, x, False), (1, 240))), lambda b, x: b(op.reshape(first(b, conv(b, last(b, x), True)), (1, 240))))


def test_channels_last_models_stay() -> None:
    def body(b: Builder, x: Expr) -> Expr:
        return b(op.nn.relu(b(op.nn.conv2d(x, relax.const(np.zeros((3, 3, 8, 5), np.float32)), data_layout="NHWC", kernel_layout="HWIO"))))

    becomes(body, body)
