"""TFLite operators as Relax, one family per file. CONVERTERS: BuiltinOperator's name -> converter."""

from nnc_tvm.frontend.tflite_converters import activations, arithmetic, contraction, movement, pooling, resizing
from nnc_tvm.frontend.tflite_converters.operands import Converter, Operands

CONVERTERS: dict[str, Converter] = {
    **activations.CONVERTERS, **arithmetic.CONVERTERS, **contraction.CONVERTERS, **movement.CONVERTERS, **pooling.CONVERTERS, **resizing.CONVERTERS,
}

__all__ = ["CONVERTERS", "Converter", "Operands"]
