from __future__ import annotations

import pathlib
from dataclasses import replace

import numpy as np
import pytest

from nnc_tvm.errors import InvalidInput
from nnc_tvm.package.manifest import Manifest, Tensor, read_manifest
from nnc_tvm.run.samples import check_inputs, output_shape, sample_count


def tensor(*shape: int, name: str = "x") -> Tensor:
    return Tensor(name, name, shape, "int8", None, None)


@pytest.mark.parametrize(("model", "array", "count"), [
    ((1, 49, 10, 1), (1, 49, 10, 1), 1), ((1, 49, 10, 1), (1000, 49, 10, 1), 1000), ((1, 49, 10, 1), (5, 1, 49, 10, 1), 5), ((3, 4), (6, 4), 2),
    ((3, 4), (5, 4), None), ((3, 4), (7, 3, 4), 7), ((), (), 1), ((), (9,), 9), ((1,), (6,), 6), ((1, 4), (1, 5), None), ((1, 4), (4,), None),
    ((1, 4), (0, 4), 0),
])
def test_sample_count(model: tuple[int, ...], array: tuple[int, ...], count: int | None) -> None:
    assert sample_count(np.zeros(array, np.int8), tensor(*model)) == count


@pytest.fixture
def manifest(x86_package: pathlib.Path) -> Manifest:
    return replace(read_manifest(x86_package), inputs=(tensor(1, 3, 4), tensor(1, 2, name="y")))


def arrays(x: tuple[int, ...], y: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {"x": np.zeros(x, np.int8), "y": np.zeros(y, np.int8)}


def test_counts_must_agree(manifest: Manifest) -> None:
    assert check_inputs(manifest, arrays((7, 3, 4), (7, 2))) == 7
    assert check_inputs(manifest, arrays((7, 3, 4), (7, 1, 2))) == 7
    with pytest.raises(InvalidInput, match="x has 7, y has 6"):
        check_inputs(manifest, arrays((7, 3, 4), (6, 2)))


@pytest.mark.parametrize(("change", "message"), [
    ({"x": np.zeros((1, 3, 4), np.float32)}, r"input 'x': dtype float32, the model takes int8; convert"),
    ({"x": np.zeros((1, 3, 5), np.int8)}, r"input 'x': shape \(1, 3, 5\), the model takes \(1, 3, 4\) or N samples as \(N, 3, 4\)"),
    ({"x": np.zeros((0, 3, 4), np.int8)}, r"input 'x': shape \(0, 3, 4\)"),
    ({"z": np.zeros(1, np.int8)}, r"input 'z': the model has no such input; it has 'x', 'y'"),
])
def test_what_does_not_fit_is_named(manifest: Manifest, change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_inputs(manifest, {**arrays((1, 3, 4), (1, 2)), **change})
    with pytest.raises(InvalidInput, match="input 'x' is missing; the model has 'x', 'y'"):
        check_inputs(manifest, {})


def test_outputs_have_the_samples_where_the_inputs_have_them(manifest: Manifest) -> None:
    out = tensor(1, 12)
    assert output_shape(manifest, arrays((1, 3, 4), (1, 2)), out, 1) == (1, 12)
    assert output_shape(manifest, arrays((9, 3, 4), (9, 2)), out, 9) == (9, 12)
    assert output_shape(manifest, arrays((9, 1, 3, 4), (9, 1, 2)), out, 9) == (9, 1, 12)
    assert output_shape(manifest, arrays((9, 3, 4), (9, 2)), tensor(5), 9) == (9, 5)
    assert output_shape(manifest, arrays((9, 3, 4), (9, 2)), tensor(), 9) == (9,)
