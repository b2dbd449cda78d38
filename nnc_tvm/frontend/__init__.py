"""Model files in, one QDQ Relax module out."""

from nnc_tvm.frontend.loader import load
from nnc_tvm.frontend.model import IoTensor, SourceModel

__all__ = ["IoTensor", "SourceModel", "load"]
