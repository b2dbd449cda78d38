"""What kernels_source prints: C without a declaration that nothing reads, which strict compilers refuse."""

from __future__ import annotations

from tvm.script import tirx as T

from nnc_tvm.package.c_kernels import kernels_source
from nnc_tvm.targets.registry import get_target


@T.prim_func(private=True)
def ignores_an_input(x: T.Buffer((4,), "int8"), w: T.Buffer((4,), "int8"), y: T.Buffer((4,), "int8")):
    for i in range(4):
        y[i] = T.Select(i < 4, w[i], x[i])


def test_views_that_nothing_reads_are_not_declared() -> None:
    target = get_target("x86_cpu", emit="c").tvm_target()
    text, _ = kernels_source({"kernel": ignores_an_input}, target, "test")
    body = text[text.index("{") :]
    assert "(void)x_ptr;" in body and "*const x " not in body
    assert "*const w = (const int8_t *)w_ptr;" in body and "int8_t *const y = (int8_t *)y_ptr;" in body
