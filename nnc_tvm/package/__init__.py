"""Packages: folders of plain C, a library and a manifest. `write_package` makes one, `manifest.read_manifest` reads one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnc_tvm.package.write import write_package

__all__ = ["write_package"]


def __getattr__(name: str) -> Any:
    """Reading packages is quick: TVM is loaded by those who write them."""
    if name != "write_package":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from nnc_tvm.package.write import write_package

    return write_package
