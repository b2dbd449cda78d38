"""Packages whose images are larger than the NPU's SRAM: from a model file to outputs, counters, layers one by one and inspect's columns."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import pytest

from nnc_tvm.api import compile as compile_verb
from nnc_tvm.api import verify
from nnc_tvm.compiler import compile_model
from nnc_tvm.report.npu import npu_text, schedule_picture
from nnc_tvm.run.benchmark import bench_package
from nnc_tvm.run.execute import run_package
from nnc_tvm.targets.registry import get_target
from tests.compiler.onnx_networks import conv
from tests.compiler.onnx_qdq import QdqGraph

INPUT, SRAM = 3 * 96 * 80, 20 << 10
X, A = (0.05, 3), (0.1, 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An image of 96 x 80 pixels to one of 16 channels of half the height and width, larger than the image itself; both larger than SRAM bytes."""
    graph = QdqGraph()
    first = graph.qdq(graph.node("Relu", conv(graph, graph.qdq("x", *X), 8, 3, strides=[2, 2])), *A)
    output = graph.quantize(conv(graph, first, 16, 8, scale=A[0]), *A)
    file = tmp_path_factory.mktemp("streamed") / "model.onnx"
    onnx.save(graph.model({"x": (1, 3, 96, 80)}, {output: "int8"}), str(file))
    return file


def test_from_a_file_to_counters(model: pathlib.Path, tmp_path: pathlib.Path) -> None:
    package = compile_verb(model, "npu", tmp_path / "npu", requantize="fixed", npu={"sram": SRAM})
    compile_model(model, get_target("x86_cpu"), tmp_path / "cpu", requantize="fixed")
    x = {"x": np.random.default_rng(0).standard_normal((3, 3, 96, 80)).astype(np.float32) * 3}
    npu, cpu = (run_package(tmp_path / kind, x) for kind in ("npu", "cpu"))
    assert all(np.array_equal(npu[name], cpu[name]) and len(np.unique(npu[name])) > 50 for name in cpu)
    measured = bench_package(tmp_path / "npu")
    assert measured["npu_host_macs"] == 0 and measured["npu_cycles"] == measured["npu_cycles_estimated"]
    assert measured["npu_sram_peak_bytes"] <= SRAM < INPUT <= measured["npu_host_read"]
    assert measured["npu_host_written"] == 48 * 40 * 16 > SRAM
    found = verify(package, model, {"x": x["x"][:1]})
    assert len(found.layers) >= 2 and all(layer.exact or (layer.sqnr_db or 0) > 40 for layer in found.layers), found  # single steps, as fixed scales round


def test_inspect_says_what_moves(model: pathlib.Path, tmp_path: pathlib.Path) -> None:
    manifest = compile_model(model, get_target("npu", npu_options=f"sram={SRAM}"), tmp_path / "npu", requantize="fixed")
    info = manifest.npu
    assert info is not None
    assert info.cycles - 4 <= sum(row.cycles for row in info.layers) <= info.cycles
    assert info.layers[0].host_bytes >= INPUT and info.layers[-1].host_bytes == 48 * 40 * 16
    assert sum(row.dma_cycles for row in info.layers) <= info.cycles
    assert {"Fetch", "Store"} <= {command.op for command in info.commands}
    assert "host bytes" in npu_text(manifest) and "Fetch" in schedule_picture(manifest)
