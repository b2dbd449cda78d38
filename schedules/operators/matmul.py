"""Matrix product of two activations (attention and the like)."""

from __future__ import annotations

from dataclasses import dataclass

from nnc_tvm.schedules.operators.operator import Operator
from nnc_tvm.schedules.quantization import Epilogue


@dataclass(frozen=True, eq=False)
class MatMul(Operator):
    """y[b,m,o] = epilogue(sum over k of (a[b,m,k] - za) * (c[b,k,o] - zc))

    inputs: (a (B, M, K), c (B, K, O)), both int8, or both float32 with zero points 0; output (B, M, O).
    """

    epilogue: Epilogue
    zero_points: tuple[int, int] = (0, 0)

    @property
    def macs(self) -> int:
        return self.output.elements * self.inputs[0].shape[-1]
