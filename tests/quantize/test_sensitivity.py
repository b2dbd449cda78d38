"""Layers that int8 hurts most stay float."""

from __future__ import annotations

import pathlib

import numpy as np

from nnc_tvm.quantize import QuantizeOptions, quantize
from nnc_tvm.relay_passes.float_notes import with_notes
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.schedules.operators import Conv2d
from tests.quantize.networks import Network, load_network

SEED = 5


def test_the_worst_layer_stays_float(tmp_path: pathlib.Path) -> None:
    """The first convolution makes channels a thousand times larger than others: on one scale the others vanish for the second."""
    n = Network([1, 4, 6, 6], SEED)
    scales = np.array([1000, 1000, 1, 1], np.float32).reshape(4, 1, 1, 1)
    y = n.node("Conv", "x", n.normal(4, 4, 1, 1) * scales)
    y = n.node("Conv", y, n.normal(4, 4, 1, 1) / np.array([1e6, 1e6, 1, 1], np.float32).reshape(1, 4, 1, 1))
    source = load_network(tmp_path, n.model(n.conv(y, 4, 4)))
    samples = [{"x": np.random.default_rng(SEED).standard_normal((16, 1, 4, 6, 6)).astype(np.float32)}]
    for options, why in ((QuantizeOptions(keep_float=1), "number 1 of those that lose most"), (QuantizeOptions(min_sqnr=15.0), "below the floor of 15")):
        said: list[str] = []
        quantized = quantize(source, samples, options, say=said.append)
        program = with_notes(to_program(quantized.module, "float"), quantized.notes)
        inputs = [layer.operator.inputs[0].dtype for layer in program.layers if isinstance(layer.operator, Conv2d)]
        assert inputs == ["int8", "float32", "int8"], f"seed {SEED}"
        assert len(said) == 1 and said[0].startswith("kept float: 'conv1'") and said[0].endswith(why)
        note = next(layer.note for layer in program.layers if layer.operator.macs and layer.operator.inputs[0].dtype == "float32")
        assert note.startswith("kept float: ") and note.endswith(why)
