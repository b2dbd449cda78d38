"""What inspect shows of an NPU: layers, bounds, lanes in time, and why layers stay with the host."""

from __future__ import annotations

import json
import math
import pathlib
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from nnc_tvm.cli.main import exit_code
from nnc_tvm.compiler import compile_model
from nnc_tvm.package.manifest import read_manifest
from nnc_tvm.package.npu_info import NpuSavings
from nnc_tvm.report.npu import npu_text, schedule_picture
from nnc_tvm.targets.registry import get_target
from tests.npu.test_codegen import MODELS


@pytest.fixture(scope="module")
def resnet8(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    model = MODELS / "pretrainedResnet_quant.tflite"
    if not model.exists():
        pytest.skip(f"needs {model.name}")
    folder = tmp_path_factory.mktemp("report") / "resnet8"
    compile_model(model, get_target("npu"), folder)
    return folder


def test_layers_make_up_the_run(resnet8: pathlib.Path) -> None:
    manifest = read_manifest(resnet8)
    info = manifest.npu
    assert info is not None
    assert sum(row.cycles for row in info.layers) <= info.cycles <= sum(row.cycles for row in info.layers) + 4  # END
    assert sum(row.macs for row in info.layers) == info.macs == manifest.layers[0].macs
    assert max(info.bounds.macs, info.bounds.flash, info.bounds.images) <= info.cycles
    assert info.bounds.flash == manifest.layers[0].bytes  # the stream and the weights
    assert max(row.sram_bytes for row in info.layers) <= info.sram_bytes + 16 * len(info.commands)
    for row in info.layers:
        assert max(row.array_cycles, row.sram_cycles) <= row.cycles and 0 <= row.utilization <= 1
        assert row.weights == ("int8" if row.macs else "")
        assert 0 <= row.over_bytes <= row.sram_bytes
    saved = info.savings
    assert saved.flash_bytes == sum(c.flash_bytes for c in info.layers) and saved.flash_bytes < saved.plain_flash_bytes
    assert (saved.macs_skipped, saved.int4_macs, saved.factors) == (0, 0, 0) and saved.array_cycles == saved.plain_array_cycles
    fused = [row for row in info.layers if row.epilogue_of]
    assert all(row.over_bytes == math.prod(row.shape) for row in fused)  # sums lie exactly over the term that is no convolution's result
    assert len(fused) == 3 and all((row.op, row.epilogue_of) == ("linear_combination", "conv2d") for row in fused)


def test_lanes_do_one_thing_at_a_time(resnet8: pathlib.Path) -> None:
    info = read_manifest(resnet8).npu
    assert info is not None
    for lane in (True, False):
        spans = [(c.start, c.end) for c in info.commands if (c.op == "Dma") is lane]
        assert all(before[1] <= after[0] < after[1] for before, after in zip(spans, spans[1:], strict=False)) and spans[-1][1] <= info.cycles


def test_text_and_picture(resnet8: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["inspect", str(resnet8), "--plot", str(tmp_path / "schedule.svg")]) == 0
    text = capsys.readouterr().out
    assert "bytes of weights where plain ones of 8 bits would take" in text
    assert "conv2d + linear_combination" in text and "lower bounds" in text and "no layer runs on the host" in text
    assert "over input" in text
    info = read_manifest(resnet8).npu
    picture = ElementTree.parse(tmp_path / "schedule.svg")
    assert info is not None and len(picture.findall(".//{*}title")) == len(info.commands)
    assert exit_code(["inspect", str(resnet8), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["npu"]["layers"][0]["bound"] in ("array", "sram", "flash", "overhead")


def test_each_way_to_compress_has_its_line(resnet8: pathlib.Path) -> None:
    manifest = read_manifest(resnet8)
    info = manifest.npu
    assert info is not None
    savings = NpuSavings(info.macs // 4, info.macs // 2, 70_000, 140_000, 30_000, 90_000, 1, 1000, 2000, 3000, 4000)
    text = npu_text(replace(manifest, npu=replace(info, savings=savings)))
    for line in ("are skipped, 25%", "are done two at a time, 50%", "70 000 cycles where plain weights of 8 bits would take 140 000: 50%",
                 "30 000 bytes of weights where plain ones of 8 bits would take 90 000: 33%",
                 "1 pair of factors: 1 000 MACs and 2 000 bytes where the layers that they stand for would take 3 000 and 4 000"):
        assert line in text, line


def test_layers_of_the_host_say_which_constraint_refused(resnet8: pathlib.Path, tmp_path: pathlib.Path) -> None:
    manifest = compile_model(MODELS / "pretrainedResnet_quant.tflite", get_target("npu"), tmp_path / "float", requantize="float")
    text = npu_text(manifest)
    assert "layer on the host" in text and "fixed: requantization must be `fixed` (--requantize fixed)" in text
    assert schedule_picture(manifest).startswith("<svg")


def test_packages_without_an_npu_have_no_schedule(x86_package: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["inspect", str(x86_package), "--plot", str(tmp_path / "s.svg")]) == 2
    assert "no part for an NPU" in capsys.readouterr().err
    assert npu_text(read_manifest(x86_package)) == ""
