"""Calibration data: what is taken, refused and warned about."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from nnc_tvm.errors import InvalidInput
from nnc_tvm.frontend.model import IoTensor
from nnc_tvm.quantize.samples import check_samples, read_calibration

INPUTS = (IoTensor("image", (1, 3, 4), "float32"), IoTensor("ids", (2,), "int64"))
GOOD = {"image": np.linspace(0, 1, 9 * 12, dtype=np.float32).reshape(9, 3, 4), "ids": np.zeros((9, 2), np.int64)}


def test_samples_become_blocks() -> None:
    said: list[str] = []
    samples = check_samples([GOOD, {"image": GOOD["image"][:1], "ids": np.zeros(2, np.int64)}], INPUTS, said.append)
    assert samples.count == 10 and not said
    assert [len(chunk["image"]) for chunk in samples.chunks(4)] == [4, 4, 1, 1]
    assert samples.blocks[0]["image"].shape == (9, 1, 3, 4)


@pytest.mark.parametrize(("change", "message"), [
    ({"image": GOOD["image"].astype(np.float64)}, r"'image' has dtype float64.*astype"),
    ({"image": GOOD["image"][:, :2]}, r"'image' has shape \(9, 2, 4\)"),
    ({"image": np.full((9, 3, 4), np.nan, np.float32)}, r"'image' holds NaN or infinity in sample 0"),
    ({"image": np.zeros((0, 3, 4), np.float32)}, "'image' is empty"),
    ({"ids": np.zeros((4, 2), np.int64)}, "image has 9, ids has 4"),
    ({"other": np.zeros(1)}, "no input 'other'; it has 'image', 'ids'"),
])
def test_refused(change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_samples([GOOD | change], INPUTS, lambda line: None)


def test_missing_input_and_no_samples() -> None:
    with pytest.raises(InvalidInput, match="'ids' is missing"):
        check_samples([{"image": GOOD["image"]}], INPUTS, lambda line: None)
    with pytest.raises(InvalidInput, match="there are no samples"):
        check_samples([], INPUTS, lambda line: None)


def test_warnings() -> None:
    said: list[str] = []
    check_samples([{"image": np.full((2, 3, 4), 0.5, np.float32), "ids": np.zeros((2, 2), np.int64)}], INPUTS, said.append)
    assert len(said) == 1 and "2 samples only" in said[0]
    said.clear()
    check_samples([GOOD | {"image": GOOD["image"] * 1e6}], INPUTS, said.append)
    assert len(said) == 1 and "'image' reaches 1e+06" in said[0]


def test_a_folder_of_arrays(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidInput, match="no .npy files"):
        read_calibration(tmp_path, INPUTS)
    np.save(tmp_path / "a.npy", GOOD["image"][:2])
    np.save(tmp_path / "b.npy", GOOD["image"][2:])
    assert [len(sample["image"]) for sample in read_calibration(tmp_path, INPUTS[:1])] == [2, 7]
    with pytest.raises(InvalidInput, match="ids.npy, image.npy"):
        read_calibration(tmp_path, INPUTS)
    np.save(tmp_path / "b.npy", GOOD["image"][2])
    assert check_samples(read_calibration(tmp_path, INPUTS[:1]), INPUTS[:1], lambda line: None).count == 3
    np.save(tmp_path / "b.npy", GOOD["image"][2].astype(np.float64))
    with pytest.raises(InvalidInput, match="b.npy: .*'image' has dtype float64"):
        read_calibration(tmp_path, INPUTS[:1])
    (tmp_path / "b.npy").write_bytes(b"no array")
    with pytest.raises(InvalidInput, match="b.npy: not an .npy file"):
        read_calibration(tmp_path, INPUTS[:1])
