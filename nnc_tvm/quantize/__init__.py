"""Post-training quantization: a float model and sample inputs become a model in QDQ form, which the compiler takes like any other.

    from nnc_tvm.frontend import load
    from nnc_tvm.quantize import QuantizeOptions, quantize
    int8 = quantize(load("model.onnx"), [{"image": x} for x in images], QuantizeOptions(observer="mse"))
"""

from __future__ import annotations

from typing import Any

from nnc_tvm.quantize.options import QuantizeOptions
from nnc_tvm.verbs import make_verb

__all__ = ["QuantizeOptions", "quantize"]

make_verb(__name__)


def __getattr__(name: str) -> Any:
    """Options are quick to import: TVM is loaded by those who quantize."""
    if name != "quantize":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from nnc_tvm.quantize.post_training import quantize

    return quantize
