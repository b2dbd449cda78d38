"""verify against PyTorch: packages of programs in memory and of .pt2 files."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import nnc_tvm  # noqa: E402
from nnc_tvm.cli.main import exit_code  # noqa: E402
from nnc_tvm.frontend import load  # noqa: E402
from nnc_tvm.reference import evaluate, run_program  # noqa: E402
from nnc_tvm.relay_passes.pipeline import to_program  # noqa: E402
from nnc_tvm.verify.source import open_source  # noqa: E402
from tests.frontend.torch_models import BatchNormNet, FloatNet, PrunedNet, QuantizedNet, export, pt2e  # noqa: E402

SEED = 31


@pytest.fixture(autouse=True)
def seeded() -> None:
    print("seed", SEED)
    torch.manual_seed(SEED)


@pytest.mark.parametrize("target", ["x86_cpu", pytest.param("arm_cpu", marks=pytest.mark.qemu)])
def test_a_quantized_program(target: str, tmp_path: pathlib.Path) -> None:
    program = export(QuantizedNet(), torch.randn(1, 3, 8, 8))
    package = nnc_tvm.compile(program, target=target, output=tmp_path / "net")
    found = nnc_tvm.verify(package, program, {"x": torch.randn(4, 3, 8, 8).numpy()})
    assert found.source.startswith("PyTorch") and found.same_model and found.argmax_agreement >= 0.75
    layers = {layer.name: layer for layer in found.layers}
    assert {"x", "relu", "conv2d_1", "add", "linear"} <= set(layers) and layers["x"].exact
    assert all(layers[name].unit == "steps" and (layers[name].max_diff or 0) <= 2 for name in ("relu", "conv2d_1", "add", "linear"))


def test_a_file_with_several_outputs(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.export.save(export(FloatNet(), torch.randn(1, 3, 16, 16)), tmp_path / "net.pt2")
    np.savez(tmp_path / "in.npz", image=torch.randn(3, 3, 16, 16).numpy())
    assert exit_code(["compile", str(tmp_path / "net.pt2"), "--target", "x86_cpu", "-o", str(tmp_path / "net")]) == 0
    capsys.readouterr()
    assert exit_code(["verify", str(tmp_path / "net"), str(tmp_path / "net.pt2"), "--inputs", str(tmp_path / "in.npz"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["same_model"] and [output["name"] for output in found["outputs"]] == ["scores", "features"]
    assert all(layer["sqnr_db"] > 100 for layer in found["layers"]) and len(found["layers"]) >= 8


def quantized(kind: str) -> Any:
    """A program of a quantized network."""
    x = torch.randn(1, 3, 8, 8)
    if kind == "pt2e":
        pytest.importorskip("torchao.quantization.pt2e.quantize_pt2e", reason="torchao is not installed")
        return pt2e(BatchNormNet(), x)
    network, dtype = {"net": QuantizedNet, "pruned": PrunedNet}[kind.split()[0]], getattr(torch, kind.split()[1])
    return export(network(dtype), x)


KINDS = ("net int8", "net uint8", "pruned int8", "pruned uint8", "pt2e")


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_within_one_step(kind: str, tmp_path: pathlib.Path) -> None:
    """Fed PyTorch's own integers, each layer is within one step of what PyTorch computes."""
    program = quantized(kind)
    manifest = nnc_tvm.compile(program, target="x86_cpu", output=tmp_path / "net").manifest
    runner, _ = open_source(program, "torch", manifest)
    x = torch.randn(1, 3, 8, 8).numpy()
    theirs = runner.run({"x": x})
    graph = to_program(load(program).module, "float")
    values = {**graph.constants, **run_program(graph, {"x": x}), "x": x}
    compared = 0
    for number, layer in enumerate(graph.layers):
        computed = evaluate(layer.operator, *(values[i].reshape(t.shape) for i, t in zip(layer.inputs, layer.operator.inputs, strict=True)))
        values[layer.output] = computed
        if number not in runner.tensors or theirs[runner.tensors[number]].array.dtype not in (np.int8, np.uint8):
            continue
        wanted = theirs[runner.tensors[number]].array
        moved = wanted.astype(np.int16) - (128 if wanted.dtype == np.uint8 else 0)
        channels_first = moved.ndim == 4 and layer.name not in graph.inputs  # all but the quantized input
        moved = (moved.transpose(0, 2, 3, 1) if channels_first else moved).reshape(computed.shape)
        assert np.abs(computed - moved).max() <= 1, layer.name
        values[layer.output] = moved.astype(np.int8)
        compared += 1
    assert compared >= (5 if kind.startswith("net") else 3)


@pytest.mark.parametrize("kind", KINDS[2:])
def test_packages_of_quantized_programs(kind: str, tmp_path: pathlib.Path) -> None:
    """Layer by layer within two steps of eager PyTorch, which includes what the layers before were off; masks leave zeros."""
    program = quantized(kind)
    package = nnc_tvm.compile(program, target="x86_cpu", output=tmp_path / "net")
    found = nnc_tvm.verify(package, program, {"x": torch.randn(4, 3, 8, 8).numpy()})
    compared = [layer for layer in found.layers if layer.unit == "steps"]
    assert len(compared) >= 3 and all((layer.max_diff or 0) <= 2 for layer in compared)
    assert all(output.sqnr_db is None or output.sqnr_db > 30 for output in found.outputs)
    if kind.startswith("pruned"):
        conv = next(layer.operator for layer in to_program(load(program).module, "float").layers if layer.operator.macs)
        assert (conv.weight == 0).mean() >= 0.6 and conv.inputs[0].dtype == "int8"
