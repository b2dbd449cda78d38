"""--target npu from a model file to outputs and counters."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import pytest

from nnc_tvm.api import compile as compile_verb
from nnc_tvm.api import verify
from nnc_tvm.compiler import RequantizeOption, compile_model
from nnc_tvm.errors import InvalidInput, ToolFailed, Unsupported
from nnc_tvm.report.package import summary
from nnc_tvm.run.benchmark import bench_package
from nnc_tvm.run.execute import run_package
from nnc_tvm.targets.npu.commands import MAGIC
from nnc_tvm.targets.registry import get_target
from tests.compiler.onnx_networks import X, conv, ends
from tests.compiler.onnx_qdq import QdqGraph
from tests.npu.test_codegen import MODELS


def test_resnet8(tmp_path: pathlib.Path) -> None:
    model = MODELS / "pretrainedResnet_quant.tflite"
    if not model.exists():
        pytest.skip(f"needs {model.name}")
    manifest = compile_model(model, get_target("npu"), tmp_path / "npu")
    compile_model(model, get_target("x86_cpu"), tmp_path / "cpu")
    x = {manifest.inputs[0].name: np.random.default_rng(0).integers(-128, 128, (5, *manifest.inputs[0].shape[1:])).astype(np.int8)}
    npu, cpu = (run_package(tmp_path / kind, x) for kind in ("npu", "cpu"))
    assert all(np.array_equal(npu[name], cpu[name]) for name in cpu)
    measured = bench_package(tmp_path / "npu")
    assert measured["npu_cycles"] == measured["npu_cycles_estimated"] <= 0.72 * 201_747
    assert measured["npu_host_macs"] == 0
    assert measured["npu_sram_peak_bytes"] <= 51_840
    with pytest.raises(Unsupported, match=r"layer '.*' needs \d+ bytes of SRAM"):
        compile_model(model, get_target("npu", npu_options="sram=33K"), tmp_path / "small")


@pytest.mark.parametrize(("requantize", "said"), [("auto", "npu     100% of the MACs"), ("float", "npu     computes nothing of it")])
def test_what_the_npu_computes_is_its_default(requantize: RequantizeOption, said: str, tmp_path: pathlib.Path) -> None:
    """An ONNX model would be requantized in float elsewhere."""
    graph = QdqGraph()
    shapes = {"x": (1, 4, 8, 8)}
    onnx.save(graph.model(shapes, ends(graph, conv(graph, graph.qdq("x", *X), 8, 4))), tmp_path / "m.onnx")
    manifest = compile_model(tmp_path / "m.onnx", get_target("npu"), tmp_path / "npu", requantize=requantize)
    assert said in summary(manifest)


def test_an_sram_too_small_for_any_layer_is_refused_with_the_least_that_does(tmp_path: pathlib.Path) -> None:
    graph = QdqGraph()
    shapes = {"x": (1, 4, 8, 8)}
    onnx.save(graph.model(shapes, ends(graph, conv(graph, graph.qdq("x", *X), 8, 4))), tmp_path / "m.onnx")

    def compiled(sram: int) -> str:
        return summary(compile_model(tmp_path / "m.onnx", get_target("npu", npu_options=f"sram={sram}"), tmp_path / "npu"))

    with pytest.raises(Unsupported, match=r"layer '.*' needs \d+ bytes of SRAM .*--npu sram=\d+\)") as refused:
        compiled(16)
    needed = int(str(refused.value).rpartition("=")[2].rstrip(")"))
    assert "npu     100% of the MACs" in compiled(needed)
    with pytest.raises(Unsupported, match=f"sram={needed}\\)"):
        compiled(needed - 1)


def test_damaged_stream_is_an_error_of_the_package(tmp_path: pathlib.Path) -> None:
    model = MODELS / "kws_ref_model.tflite"
    if not model.exists():
        pytest.skip(f"needs {model.name}")
    manifest = compile_model(model, get_target("npu"), tmp_path / "npu")
    archive = tmp_path / "npu" / manifest.libraries[0]
    data = bytearray(archive.read_bytes())
    data[data.rindex(MAGIC.to_bytes(4, "little")) + 40] ^= 1  # the driver compares with the magic, too: the stream comes after it
    archive.write_bytes(data)
    with pytest.raises(ToolFailed, match="-4"):
        run_package(tmp_path / "npu", {manifest.inputs[0].name: np.zeros((1, *manifest.inputs[0].shape[1:]), np.int8)})


@pytest.mark.parametrize("options", ["ram=3", "sram=0", "sram=lots", "macs=100", "host=abacus", "sram=4096M", "sram=64K,sram=32K", "macs=64,macs=128"])
def test_options_that_do_not_do_are_named(options: str) -> None:
    with pytest.raises(InvalidInput, match=f"--npu .*{options.partition('=')[0]}"):
        get_target("npu", npu_options=options)


def test_the_api_takes_options_as_a_mapping(tmp_path: pathlib.Path) -> None:
    model = MODELS / "kws_ref_model.tflite"
    if not model.exists():
        pytest.skip(f"needs {model.name}")
    package = compile_verb(model, "npu", tmp_path / "npu", npu={"sram": 64 << 10, "macs": 256})
    assert package.manifest.npu is not None
    assert package.manifest.npu.macs_per_cycle == 256 and package.manifest.npu.sram_bytes <= 64 << 10
    with pytest.raises(InvalidInput, match="--npu macs=7"):
        compile_verb(model, "npu", tmp_path / "never", npu={"macs": 7})


@pytest.mark.parametrize(("file", "host", "fused"), [("pretrainedResnet_quant.tflite", "x86_cpu", 3), ("kws_ref_model.tflite", "x86_cpu", 0)])
def test_layers_on_the_npu_are_verified_one_by_one(file: str, host: str, fused: int, tmp_path: pathlib.Path) -> None:
    if not (MODELS / file).exists():
        pytest.skip(f"needs {file}")
    package = compile_verb(MODELS / file, "npu", tmp_path / "npu", npu={"host": host})
    info, kind = package.manifest.npu, package.manifest.inputs[0]
    assert info is not None
    found = verify(package, MODELS / file, {kind.name: np.random.default_rng(1).integers(-128, 128, (3, *kind.shape[1:])).astype(np.int8)})
    assert found.exact and all(layer.exact for layer in found.layers), found
    assert len(found.layers) + len(found.not_compared) == len(info.layers)
    assert len(found.layers) >= len(info.layers) - 2 and sum(bool(layer.epilogue_of) for layer in info.layers) == fused
