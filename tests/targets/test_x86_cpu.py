"""The host's CPU by name."""

from __future__ import annotations

import pathlib

import pytest

from nnc_tvm.targets.x86_cpu import x86_cpu


def test_native_names_this_machine_and_what_it_offers() -> None:
    flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    if "avx2" not in flags:
        pytest.skip("this CPU has no AVX2")
    target = x86_cpu("native")
    assert target.mcpu != "native" and ("avx512vnni" in target.features) <= ("avx512_vnni" in flags)
    assert all(attribute[0] == "-" and attribute[1:] not in target.features for attribute in target.attributes)


def test_native_elsewhere_is_the_common_denominator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    target = x86_cpu("native")
    assert (target.mcpu, target.attributes) == ("x86-64-v3", ())
