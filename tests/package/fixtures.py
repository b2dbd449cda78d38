"""Packages of the synthetic network, made once for each target."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from nnc_tvm.package.write import write_package
from nnc_tvm.targets.base import Target
from nnc_tvm.targets.registry import get_target
from tests.package.synthetic import network


@pytest.fixture(scope="session")
def x86() -> Target:
    return get_target("x86_cpu")


@pytest.fixture(scope="session")
def arm() -> Target:
    if shutil.which("aarch64-linux-gnu-gcc") is None or shutil.which("qemu-aarch64") is None:
        pytest.skip("needs aarch64-linux-gnu-gcc and qemu-aarch64")
    return get_target("arm_cpu", "cortex-a76")


def make(target: Target, folder: pathlib.Path) -> pathlib.Path:
    scheduled, source = network()
    write_package(scheduled, source, target, "net", folder / "net")
    return folder / "net"


@pytest.fixture(scope="session")
def x86_package(x86: Target, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return make(x86, tmp_path_factory.mktemp("x86"))


@pytest.fixture(scope="session")
def arm_package(arm: Target, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return make(arm, tmp_path_factory.mktemp("arm"))
