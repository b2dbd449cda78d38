"""Compiles compressed neural networks with Apache TVM into plain C packages for edge targets.

    import nnc_tvm
    package = nnc_tvm.compile("model.onnx", target="arm_cpu", mcpu="cortex-a76")
    package = nnc_tvm.compile(torch.export.export(model.eval(), example_inputs), target="x86_cpu", name="model")
    outputs = nnc_tvm.run(package, {"x": samples})
    found = nnc_tvm.verify(package, "model.onnx", {"x": samples})

The verbs are documented in nnc_tvm.api. Importing this module is quick: each verb loads what it needs when it is used.
"""

from __future__ import annotations

import importlib
from typing import Any

VERBS = ("load", "quantize", "compile", "run", "verify")
FOLDERS = ("quantize", "run", "verify")
"""Verbs that are also packages of modules; nnc_tvm/verbs.py makes them callable."""

__all__ = [*VERBS]


def __getattr__(name: str) -> Any:
    if name in FOLDERS:
        return importlib.import_module(f"nnc_tvm.{name}")
    if name in VERBS:
        return getattr(importlib.import_module("nnc_tvm.api"), name)
    raise AttributeError(f"module 'nnc_tvm' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *VERBS})
