"""A package against the model it was compiled from, layer by layer."""

from nnc_tvm.verbs import make_verb
from nnc_tvm.verify.compare import LayerDifference, OutputDifference, Verification
from nnc_tvm.verify.verify import verify_package

__all__ = ["LayerDifference", "OutputDifference", "Verification", "verify_package"]

make_verb(__name__)
