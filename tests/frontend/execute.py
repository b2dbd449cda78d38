"""Runs a Relax module as TVM runs it: the float meaning of a QDQ module."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax


def execute(module: tvm.IRModule, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs of "main" on this machine's CPU, compiled without optimization."""
    module = relax.transform.DecomposeOpsForInference()(module)
    with tvm.transform.PassContext(opt_level=0):
        built = tvm.compile(module, target="llvm")
    machine = relax.VirtualMachine(built, tvm.cpu())
    result: Any = machine["main"](*[tvm.runtime.tensor(x) for x in inputs])
    return [r.numpy() for r in result] if isinstance(result, list | tuple) or hasattr(result, "__len__") and not hasattr(result, "numpy") else [result.numpy()]
