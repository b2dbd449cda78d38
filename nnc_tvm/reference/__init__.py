"""The oracle: every operator and rounding in NumPy integers; only `Primitive` needs TVM. Kernels of every target are compared with it.

`evaluate(operator, *inputs)` computes one operator, `run_program(program, inputs)` a whole graph.
"""

from nnc_tvm.reference import (  # noqa: F401  (register)
    chain,
    conv2d,
    dense,
    depthwise,
    dynamic,
    elementwise,
    matmul,
    movement,
    pool,
    primitive,
    requantize,
    resize,
    softmax,
    table,
)
from nnc_tvm.reference.dispatch import evaluate
from nnc_tvm.reference.program import run_program

__all__ = ["evaluate", "run_program"]
