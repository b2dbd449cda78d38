from __future__ import annotations

import importlib.metadata

import pytest

from nnc_tvm.errors import MissingTool
from nnc_tvm.package.tvm_pair import check_tvm_pair, required_pair


def test_the_installed_pair_is_right() -> None:
    assert set(required_pair()) == {"apache-tvm", "apache-tvm-ffi"}
    check_tvm_pair()


def test_a_wrong_ffi_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1.15.post2" if name == "apache-tvm-ffi" else version(name))
    with pytest.raises(MissingTool, match=r"apache-tvm-ffi 0\.1\.15\.post2 is installed, nnc-tvm needs .*pip install apache-tvm==.* apache-tvm-ffi==0\.1\.14"):
        check_tvm_pair()


def test_a_missing_tvm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(MissingTool, match="apache-tvm is not installed"):
        check_tvm_pair()
