"""A whole package: strict C, error codes, sanitizers, symbols, reproducible bytes, its own Make and CMake files."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from nnc_tvm.errors import InvalidInput, MissingTool
from nnc_tvm.package.toolchain import STRICT, run_tool
from nnc_tvm.package.write import write_package
from nnc_tvm.targets.base import Target
from tests.package.synthetic import network

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent


def build(*arguments: str | pathlib.Path) -> None:
    done = subprocess.run(["gcc", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_error_codes_under_the_sanitizers(x86_package: pathlib.Path, tmp_path: pathlib.Path) -> None:
    build(*STRICT, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{x86_package}/include", HERE / "caller.c", x86_package / "src/net.c",
          x86_package / "lib/net.a", "-o", tmp_path / "caller")
    done = subprocess.run([tmp_path / "caller"], capture_output=True, text=True)
    assert done.returncode == 0, f"line {done.returncode}: {done.stderr}"


def test_example_is_strict_c_and_clean_under_the_sanitizers(x86_package: pathlib.Path, tmp_path: pathlib.Path) -> None:
    build(*STRICT, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{x86_package}/include", x86_package / "example/main.c",
          x86_package / "src/net.c", x86_package / "lib/net.a", "-o", tmp_path / "example")
    done = subprocess.run([tmp_path / "example"], capture_output=True, text=True)
    assert done.returncode == 0 and "probabilities: the largest of 12 is element" in done.stdout, done.stderr
    (tmp_path / "x.bin").write_bytes(bytes(range(12)))
    assert "x_y_0: 0 1 2 3" in subprocess.run([tmp_path / "example", tmp_path / "x.bin"], capture_output=True, text=True).stdout
    (tmp_path / "x.bin").write_bytes(bytes(13))
    assert subprocess.run([tmp_path / "example", tmp_path / "x.bin"], capture_output=True).returncode == 2


def test_header_is_cxx(x86_package: pathlib.Path, tmp_path: pathlib.Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    (tmp_path / "a.cpp").write_text('#include "net.h"\nint main() { return net_run(nullptr, nullptr, nullptr, 0) == NET_ERROR_NULL ? 0 : 1; }\n')
    subprocess.run(["g++", "-Wall", "-Wextra", "-Werror", f"-I{x86_package}/include", "-fsyntax-only", tmp_path / "a.cpp"], check=True)


@pytest.mark.parametrize("package", ["x86_package", "arm_package"])
def test_library_holds_the_model_and_nothing_else(package: str, request: pytest.FixtureRequest) -> None:
    library = request.getfixturevalue(package) / "lib/net.a"
    symbols = [line.split() for line in subprocess.run(["nm", library], capture_output=True, text=True, check=True).stdout.splitlines() if " " in line]
    symbols = [s for s in symbols if not s[-1].startswith(("$", ".L"))]  # ARM's marks of code and data, labels of constants inside a kernel
    assert {s[-2] for s in symbols} <= {"T", "R"}  # no undefined, weak or writable ones
    assert all(s[-1].startswith("net_") for s in symbols)
    assert sorted(s[-1] for s in symbols if s[-2] == "T") == ["net_dense_1", "net_dense_2", "net_table_0"]
    content = library.read_bytes()
    assert b"TVM" not in content and b"tvm" not in content and b"/tmp" not in content and b"debug" not in content


def test_same_bytes_from_another_process_and_place(x86_package: pathlib.Path, arm_package: pathlib.Path, tmp_path: pathlib.Path) -> None:
    script = "import pathlib, sys; from tests.package.fixtures import make; from nnc_tvm.targets.registry import get_target\n"
    script += "for i, t in enumerate((get_target('x86_cpu'), get_target('arm_cpu', 'cortex-a76'))): make(t, pathlib.Path(sys.argv[1]) / str(i))"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    (tmp_path / "0").mkdir()
    (tmp_path / "1").mkdir()
    subprocess.run([sys.executable, "-c", script, tmp_path], cwd=ROOT, env=environment, check=True)
    for number, package in enumerate((x86_package, arm_package)):
        files = [p.relative_to(package) for p in package.rglob("*") if p.is_file() and p.relative_to(package).parts[0] != "build"]
        assert len(files) == 7
        for file in files:
            assert (package / file).read_bytes() == (tmp_path / str(number) / "net" / file).read_bytes(), file


def copy(package: pathlib.Path, place: pathlib.Path) -> pathlib.Path:
    shutil.copytree(package, place / "copy")
    return place / "copy"


@pytest.mark.parametrize("package", ["x86_package", pytest.param("arm_package", marks=pytest.mark.qemu)])
def test_make_run(package: str, request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> None:
    folder = copy(request.getfixturevalue(package), tmp_path)
    done = subprocess.run(["make", "-C", folder, "run"], capture_output=True, text=True)
    assert done.returncode == 0 and "the largest of 12" in done.stdout, done.stderr
    assert "warning" not in done.stderr


def test_cmake(x86_package: pathlib.Path, tmp_path: pathlib.Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("needs cmake")
    folder = copy(x86_package, tmp_path)
    subprocess.run(["cmake", "-S", folder, "-B", tmp_path / "build"], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", tmp_path / "build"], check=True, capture_output=True)
    assert b"the largest of 12" in subprocess.run([tmp_path / "build/net_example"], check=True, capture_output=True).stdout


def test_graph_is_readable(x86_package: pathlib.Path) -> None:
    text = (x86_package / "src/net.c").read_text()
    assert '/* 4. dense "fc1": int8 1x12 -> int8 1x12, 144 MACs */' in text
    assert "net_dense_2(at + 0, net_c2, out->probabilities);" in text or "net_dense_2(at + 16, net_c2, out->probabilities);" in text


def test_a_failed_write_leaves_the_old_package(x86: Target, x86_package: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy(x86_package, tmp_path)
    scheduled, source = network()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingTool, match="is not installed; on Debian: apt-get install"):
        write_package(scheduled, source, x86, "net", folder)
    assert (folder / "manifest.json").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["copy"]


def test_names_are_checked(x86: Target, tmp_path: pathlib.Path) -> None:
    scheduled, source = network()
    with pytest.raises(InvalidInput, match="--name"):
        write_package(scheduled, source, x86, "my-net", tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_missing_tools_are_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(MissingTool, match="riscv-gcc is not installed; on Debian: apt-get install gcc-riscv"):
        run_tool(["riscv-gcc"], ("gcc-riscv",), tmp_path)


def test_tools_leave_nothing_outside_their_folder(tmp_path: pathlib.Path) -> None:
    assert run_tool(["sh", "-c", 'echo "$TMPDIR"; pwd'], ("dash",), tmp_path) == f"{tmp_path}\n{tmp_path}\n"


def test_a_full_disk_is_an_error_not_a_crash(x86: Target, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduled, source = network()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OSError, match="No space left on device"):
        write_package(scheduled, source, x86, "net", tmp_path / "p")
    assert list(tmp_path.iterdir()) == []
