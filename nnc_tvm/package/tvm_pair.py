"""The releases of apache-tvm and apache-tvm-ffi that work together, checked before TVM is imported."""

from __future__ import annotations

import importlib.metadata
import re

from nnc_tvm.errors import MissingTool

DISTRIBUTION = "nnc-tvm"


def required_pair() -> dict[str, str]:
    """The versions that nnc-tvm's own metadata pins."""
    pins = (re.match(r"(apache-tvm(?:-ffi)?)\s*==\s*([\w.+!-]+)", line) for line in importlib.metadata.requires(DISTRIBUTION) or ())
    return {pin[1]: pin[2] for pin in pins if pin}


def check_tvm_pair() -> None:
    """Raises MissingTool where another pair is installed: the wrong ffi release does not fail, it crashes the interpreter later."""
    required = required_pair()
    for package, version in required.items():
        try:
            installed = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            installed = ""
        if installed != version:
            found = f"{package} {installed} is installed" if installed else f"{package} is not installed"
            wanted = " ".join(f"{name}=={pin}" for name, pin in required.items())
            raise MissingTool(f"{found}, nnc-tvm needs {version} (other releases crash); run: pip install {wanted}")
