"""Packages on many samples, natively and emulated, against NumPy."""

from __future__ import annotations

import pathlib
import shutil
import zipfile
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from nnc_tvm.errors import InvalidInput, MissingTool, ToolFailed
from nnc_tvm.run import bench_package, run_package
from nnc_tvm.run.npz import read_npz, write_npz
from tests.package.synthetic import expected, network

PACKAGES = ["x86_package", pytest.param("arm_package", marks=pytest.mark.qemu)]


@pytest.mark.parametrize("package", PACKAGES)
def test_samples(package: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(package)
    x = np.random.default_rng(5).integers(-128, 128, (50, 3, 4)).astype(np.int8)
    outputs = run_package(folder, {"x/y:0": x})
    assert [(n, a.shape, a.dtype) for n, a in outputs.items()] == [
        ("probabilities", (50, 12), np.int8), ("again", (50, 3, 4), np.int8), ("x/y:0", (50, 3, 4), np.int8)]
    scheduled, _ = network()
    for i in range(len(x)):
        for want, got in zip(expected(scheduled, x[i : i + 1]), outputs.values(), strict=True):
            np.testing.assert_array_equal(got[i], want[0])


def test_bench_natively(x86_package: pathlib.Path) -> None:
    result = bench_package(x86_package, layers=True)
    assert 0 < result["min_ms"] <= result["median_ms"] < 10 and result["guest_instructions"] is None
    assert [("ms" in row, row["op"]) for row in result["layers"]] == [(True, op) for op in ("table", "table", "reshape", "dense", "dense", "reshape")]
    assert result["layers"][2]["ms"] == 0 < result["layers"][3]["ms"]


@pytest.mark.qemu
def test_bench_counts_the_same_instructions_every_time(arm_package: pathlib.Path) -> None:
    result = bench_package(arm_package, layers=True)
    assert result["median_ms"] is None and 100 < result["guest_instructions"] < 10_000
    layers = [row["instructions"] for row in result["layers"]]
    assert layers[2] == layers[5] == 0 and 0 < layers[0] == layers[1] < layers[3] == layers[4]
    assert 0.5 * result["guest_instructions"] < sum(layers) < 2 * result["guest_instructions"]  # marking each call takes some, too
    assert bench_package(arm_package)["guest_instructions"] == result["guest_instructions"]


def test_a_package_with_a_part_missing(x86_package: pathlib.Path, tmp_path: pathlib.Path) -> None:
    shutil.copytree(x86_package, tmp_path / "p")
    (tmp_path / "p/lib/net.a").unlink()
    with pytest.raises(InvalidInput, match=r"lib/net\.a is missing"):
        run_package(tmp_path / "p", {})


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:len(data) // 2], lambda data: b"\xff" * len(data)])
def test_a_package_with_a_damaged_library(x86_package: pathlib.Path, tmp_path: pathlib.Path, damage: Callable[[bytes], bytes]) -> None:
    shutil.copytree(x86_package, tmp_path / "p")
    library = tmp_path / "p/lib/net.a"
    library.write_bytes(damage(library.read_bytes()))
    with pytest.raises(ToolFailed, match=r"/p: the package does not build: .*; .*compile the model again") as error:
        run_package(tmp_path / "p", {"x/y:0": np.zeros((1, 3, 4), np.int8)})
    assert "collect2" not in str(error.value) and "\n" not in str(error.value)


def test_a_missing_compiler(x86_package: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingTool, match="gcc is not installed"):
        run_package(x86_package, {"x/y:0": np.zeros((1, 3, 4), np.int8)})


def test_npz_is_checked_before_it_is_read(tmp_path: pathlib.Path) -> None:
    """A member that unpacks to a terabyte is refused by its name, shape and dtype; one of objects is no plain array."""
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive, archive.open("x.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (1 << 38,)})
    seen: dict[str, np.ndarray] = {}

    def check(outlines: Mapping[str, np.ndarray]) -> None:
        seen.update(outlines)
        raise InvalidInput("refused")

    with pytest.raises(InvalidInput, match="refused"):
        read_npz(tmp_path / "bomb.npz", check)
    assert seen["x"].shape == (1 << 38,) and seen["x"].dtype == np.float32
    np.savez(tmp_path / "objects.npz", x=np.array([None], dtype=object))
    with pytest.raises(InvalidInput, match="not an .npz file of plain arrays"):
        read_npz(tmp_path / "objects.npz", check)


def test_npz(tmp_path: pathlib.Path) -> None:
    arrays = {"file": np.arange(3), "a/b:0": np.zeros((2, 0), np.int8), "s": np.float32(2)}
    write_npz(tmp_path / "x.npz", arrays)
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]
    back = read_npz(tmp_path / "x.npz")
    assert list(back) == list(arrays) and all(np.array_equal(back[n], arrays[n]) and back[n].dtype == arrays[n].dtype for n in arrays)
    with pytest.raises(InvalidInput, match="no such file"):
        read_npz(tmp_path / "y.npz")
    (tmp_path / "y.npz").write_text("text")
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive, archive.open("x.npy", "w") as member:  # says that it holds 2^60 numbers
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (1 << 60,)})
    with pytest.raises(InvalidInput, match=r"bomb.npz: .*damaged"):
        read_npz(tmp_path / "bomb.npz")
    with pytest.raises(InvalidInput, match="not an .npz file"):
        read_npz(tmp_path / "y.npz")
    np.save(tmp_path / "z.npy", np.zeros(3))
    with pytest.raises(InvalidInput, match="without a name"):
        read_npz(tmp_path / "z.npy")
