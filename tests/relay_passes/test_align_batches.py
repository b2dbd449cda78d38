"""Before and after: align_batches."""

from __future__ import annotations

import numpy as np
from tvm import relax

from nnc_tvm.relay_passes.align_batches import align_batches
from tests.relay_passes.ir import Body, Builder, Expr, Inputs, assert_becomes, module_of

op = relax.op


def becomes(inputs: Inputs, before: Body, after: Body) -> None:
    assert_becomes(align_batches, inputs, before, after)


def two(a: tuple[int, ...], c: tuple[int, ...]) -> Inputs:
    return {"a": (a, "float32"), "c": (c, "float32")}


def test_equal_batches_stay() -> None:
    def body(b: Builder, a: Expr, c: Expr) -> Expr:
        return b(op.matmul(a, c))

    becomes(two((2, 3, 4), (2, 4, 5)), body, body)


def test_one_right_side_makes_one_product() -> None:
    def after(b: Builder, a: Expr, c: Expr) -> Expr:
        matrix = b(op.reshape(c, (4, 5)))
        return b(op.reshape(b(op.matmul(b(op.reshape(a, (6, 4))), matrix)), (2, 3, 5)))

    becomes(two((2, 3, 4), (1, 4, 5)), lambda b, a, c: b(op.matmul(a, c)), after)


def test_a_right_side_of_lower_rank() -> None:
    def after(b: Builder, a: Expr, c: Expr) -> Expr:
        return b(op.reshape(b(op.matmul(b(op.reshape(a, (6, 4))), c)), (2, 3, 5)))

    becomes(two((2, 3, 4), (4, 5)), lambda b, a, c: b(op.matmul(a, c)), after)


def test_other_batches_are_repeated() -> None:
    def after(b: Builder, a: Expr, c: Expr) -> Expr:
        return b(op.matmul(b(op.broadcast_to(a, (2, 3, 4))), c))

    becomes(two((1, 3, 4), (2, 4, 5)), lambda b, a, c: b(op.matmul(a, c)), after)


def test_shared_weights_become_a_matrix() -> None:
    weights = np.zeros((1, 4, 5), np.int8)

    def before(b: Builder, a: Expr) -> Expr:
        return b(op.matmul(a, b.dequantize(relax.const(weights), 0.5)))

    def after(b: Builder, a: Expr) -> Expr:
        return b(op.matmul(a, b(op.reshape(b.dequantize(relax.const(weights), 0.5), (4, 5)))))

    becomes({"a": ((2, 3, 4), "float32")}, before, after)


def test_the_result_keeps_its_shape() -> None:
    for a, c in (((2, 1, 3, 4), (3, 4, 5)), ((3, 4), (2, 4, 5)), ((2, 3, 4), (1, 4, 5)), ((3, 4), (1, 4, 5))):
        module = module_of(two(a, c), lambda b, a, c: b(op.matmul(a, c)))
        assert [int(d) for d in align_batches(module)["main"].ret_ty.shape] == [int(d) for d in module["main"].ret_ty.shape]
