"""The command line: what it prints where, exit codes, one line for every error."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from nnc_tvm.cli import bench as bench_module
from nnc_tvm.cli.main import COMMANDS, exit_code


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([*command, "--help"]) == 0
    assert "Usage: nnc-tvm" in capsys.readouterr().out


def test_help_starts_quickly() -> None:
    script = "import sys; from nnc_tvm.cli import main\ntry: main(['--help'])\nfinally: assert not {'tvm', 'numpy', 'onnx'} & set(sys.modules)"
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert time.perf_counter() - start < 2  # 0.2 s on an idle machine


def test_an_interrupt_while_the_command_line_loads() -> None:
    script = ("import builtins\nload = builtins.__import__\n"
              "def stop(name, *rest):\n    if name == 'click': raise KeyboardInterrupt\n    return load(name, *rest)\n")
    done = subprocess.run([sys.executable, "-c", f"{script}builtins.__import__ = stop\nimport nnc_tvm.cli"], capture_output=True, text=True)
    assert done.returncode == 130 and done.stderr == "nnc-tvm: error: interrupted\n"


def test_run(x86_package: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "in.npz", **{"x/y:0": np.zeros((4, 3, 4), np.int8)})
    assert exit_code(["run", str(x86_package), "--inputs", str(tmp_path / "in.npz"), "--outputs", str(tmp_path / "out.npz")]) == 0
    said = capsys.readouterr()
    assert said.out == "" and "'probabilities' int8 (4, 12)" in said.err
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["probabilities"].shape == (4, 12)


def test_advise(x86_package: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["inspect", str(x86_package), "--advise", "--json"]) == 0
    advice = json.loads(capsys.readouterr().out)["advice"]
    assert all(a["cost"] < a["cost_now"] and a["change"] and 0 < a["saved"] < 1 for a in advice)
    assert exit_code(["inspect", str(x86_package), "--advise"]) == 0
    assert "x86_cpu" in capsys.readouterr().out


def test_inspect(x86_package: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["inspect", str(x86_package), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["inputs"][0]["name"] == "x/y:0" and data["layers"][3]["form"] == "dense"
    assert exit_code(["inspect", str(x86_package)]) == 0
    text = capsys.readouterr().out
    assert "widen + plain dense" in text and "why not" in text and "real = 0.25 * (q +128)" in text


def test_bench(x86_package: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["bench", str(x86_package), "--json"]) == 0
    said = capsys.readouterr()
    assert {"median_ms", "guest_instructions", "arena_bytes", "weights_bytes", "code_bytes", "layers"} <= set(json.loads(said.out))
    assert exit_code(["bench", str(x86_package), "--layers"]) == 0
    said = capsys.readouterr()
    assert said.out == "" and "share" in said.err


def test_targets(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["targets", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["targets"]
    assert [row["target"] for row in rows] == ["arm_cpu", "x86_cpu", "npu"] and "avx2" in rows[1]["features"]
    assert exit_code(["targets", "npu", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    table = {row["operator"]: row for row in data["operators"]}
    assert [row["target"] for row in data["targets"]] == ["npu"] and data["config"]["macs_per_cycle"] == 128
    assert table["MaxPool2d"]["command"] == "POOL" and "dilation" in table["MaxPool2d"]["constraints"]["pooling"]
    assert exit_code(["targets", "npu"]) == 0
    text = capsys.readouterr().out
    assert all(line in text for row in table.values() for line in row["constraints"].values())
    assert exit_code(["targets", "arm_cpu"]) == 0
    assert "constraint" not in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "message"), [
    (["nonsense"], "No such command 'nonsense'"),
    (["inspect"], "Missing argument 'PACKAGE'"),
    (["inspect", "/nowhere"], "/nowhere: no such folder"),
    (["run", "/nowhere", "--inputs", "/nowhere/in.npz", "--outputs", "/nowhere/out.npz"], "/nowhere is no folder"),
    (["compile", "model.tflite", "--target", "toaster", "-o", "/tmp/never"], "--target toaster: not one of"),
    (["compile", "model.tflite", "--target", "x86_cpu", "--mcpu", "pentium9", "-o", "/tmp/never"], "--mcpu pentium9: LLVM has no such CPU"),
    (["compile", "model.tflite", "--target", "x86_cpu", "--name", "a b", "-o", "/tmp/never"], "--name 'a b': not a C identifier"),
    (["compile", "model.tflite", "--target", "x86_cpu", "-o", "/etc"], "the folder is not empty"),
    (["compile", "/nowhere/model.tflite", "--target", "x86_cpu", "-o", "/tmp/never"], "/nowhere/model.tflite"),
])
def test_errors_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(arguments) == 2
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if not line.endswith("...")]  # progress
    assert said.out == "" and len(lines) == 1 and lines[0].startswith("nnc-tvm: error: ") and message in lines[0]
    assert not pathlib.Path("/tmp/never").exists()


@pytest.mark.parametrize(("error", "code", "message"), [
    (KeyboardInterrupt(), 130, "interrupted"),
    (OSError(28, "No space left on device", "/p/lib"), 2, "/p/lib: No space left on device"),
    (OSError("a name with \x1b[2J and\ttabs"), 2, "a name with \\x1b[2J and tabs"),
    (AssertionError("two\nlines"), 70, "internal error, please report it: AssertionError: two lines"),
])
def test_exceptions(error: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.delenv("NNC_TVM_TRACEBACK", raising=False)
    monkeypatch.setattr(bench_module.command, "callback", fail)
    assert exit_code(["bench", "x"]) == code
    assert capsys.readouterr().err.lstrip().startswith(f"nnc-tvm: error: {message}")
