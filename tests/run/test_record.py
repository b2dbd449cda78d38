"""The recorded outputs of layers: of the right layer, sample and shape, also where kernels write in place."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from nnc_tvm.run import record
from nnc_tvm.run.record import layer_values
from tests.package.synthetic import expected, network

SEED = 11


@pytest.mark.parametrize("package", ["x86_package", pytest.param("arm_package", marks=pytest.mark.qemu)])
@pytest.mark.parametrize("chunk", [1, 100])
def test_every_layer_of_every_sample(package: str, chunk: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    print("seed", SEED)
    monkeypatch.setattr(record, "CHUNK_BYTES", chunk)
    folder: pathlib.Path = request.getfixturevalue(package)
    x = np.random.default_rng(SEED).integers(-128, 128, (5, 3, 4)).astype(np.int8)
    scheduled, _ = network()
    tables = [layer.stages[0].constants[0] for layer in scheduled.layers[:2]]
    recorded = list(layer_values(folder, {"x/y:0": x}))
    assert len(recorded) == 5
    for sample, layers in zip(x, recorded, strict=True):
        once = tables[0][sample.astype(int) + 128]
        np.testing.assert_array_equal(layers[0], once[None])
        np.testing.assert_array_equal(layers[1], tables[1][once.astype(int) + 128][None])
        assert layers[2] is None and layers[5] is None
        np.testing.assert_array_equal(layers[4], expected(scheduled, sample[None])[0].reshape(layers[4].shape))
