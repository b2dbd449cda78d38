"""ONNX operators that nnc-tvm converts to Relax itself: where TVM's importer leaves the operators that the passes know, or is wrong.

CONVERTERS: operator -> converter; one family per file.
"""

from nnc_tvm.frontend.onnx_converters import functions, integer, movement, normalization, windowed
from nnc_tvm.frontend.onnx_converters.operands import Converter

CONVERTERS: dict[str, Converter] = {**functions.CONVERTERS, **integer.CONVERTERS, **movement.CONVERTERS, **normalization.CONVERTERS, **windowed.CONVERTERS}

__all__ = ["CONVERTERS", "Converter"]
