"""Matrix product of two activations (attention and the like)."""

from __future__ import annotations

from dataclasses import dataclass

from nnc_tvm.schedules.operators.operator import Operator, TensorType
from nnc_tvm.schedules.quantization import Epilogue, Mode, make_requantize, product_scale


@dataclass(frozen=True, eq=False)
class MatMul(Operator):
    """y[b,m,o] = epilogue(sum over k of (a[b,m,k] - za) * (c[b,k,o] - zc))

    inputs: (a (B, M, K), c (B, K, O)), both int8, or both float32 with zero points 0; output (B, M, O).
    """

    epilogue: Epilogue
    zero_points: tuple[int, int] = (0, 0)

    @staticmethod
    def build(mode: Mode, inputs: tuple[TensorType, TensorType], output: TensorType, quantization: tuple[tuple[float, int], ...],
              low: int = -128, high: int = 127) -> MatMul:
        """The int8 form; `quantization` is ((scale, zero_point) of a, c and the output)."""
        (sa, za), (sc, zc), (so, zo) = quantization
        return MatMul(inputs, output, make_requantize(mode, product_scale(sa, sc, so), zo, low, high), (za, zc))

    @property
    def macs(self) -> int:
        return self.output.elements * self.inputs[0].shape[-1]
