"""ONNX operators that nnc-tvm converts to Relax itself: where TVM's importer leaves the operators that the passes know, or is wrong.

CONVERTERS: operator -> converter; one family per file.
"""

from nnc_tvm.frontend.onnx_converters import arithmetic, functions, indexing, integer, movement, normalization, ordered, rearranged, windowed
from nnc_tvm.frontend.onnx_converters.operands import Converter

FAMILIES = (arithmetic, functions, indexing, integer, movement, normalization, ordered, rearranged, windowed)
CONVERTERS: dict[str, Converter] = {operator: converter for family in FAMILIES for operator, converter in family.CONVERTERS.items()}

__all__ = ["CONVERTERS", "Converter"]
