"""Calibration samples: read, checked, cut into blocks."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from nnc_tvm.errors import InvalidInput
from nnc_tvm.frontend.model import IoTensor
from nnc_tvm.package.manifest import Tensor
from nnc_tvm.run.npz import read_npy, read_npz
from nnc_tvm.run.samples import sample_count

FEW = 8
LARGE = 1e4  # magnitudes that no usual preprocessing leaves
Sample = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Samples:
    """blocks: for each, an array (n, *shape) by input name, of the input's dtype. count: samples of all blocks."""

    blocks: tuple[dict[str, np.ndarray], ...]
    count: int

    def chunks(self, most: int) -> Iterator[dict[str, np.ndarray]]:
        """The samples in order, at most `most` at a time."""
        for block in self.blocks:
            for start in range(0, len(next(iter(block.values()))), most):
                yield {name: array[start:start + most] for name, array in block.items()}


def read_calibration(path: pathlib.Path, inputs: tuple[IoTensor, ...]) -> list[Sample]:
    """The arrays of an .npz file by input name, or of a folder of .npy files: INPUT.npy for each input, or any names where there is one input.

    Raises InvalidInput naming the file.
    """
    if not path.is_dir():
        return [read_npz(path)]
    files = sorted(path.glob("*.npy"))
    if not files:
        raise InvalidInput(f"--calibration {path}: no .npy files in this folder; numpy.save writes them")
    names = {tensor.name for tensor in inputs}
    if {file.stem for file in files} == names:
        return [{file.stem: read_npy(file) for file in files}]
    if len(names) > 1:
        wanted = ", ".join(f"{name}.npy" for name in sorted(names))
        raise InvalidInput(f"--calibration {path}: the model has several inputs; name the files after them: {wanted}")
    samples: list[Sample] = []
    for file in files:
        samples.append({inputs[0].name: read_npy(file)})
        try:
            _block(0, samples[-1], inputs)
        except InvalidInput as error:
            raise InvalidInput(f"{file.name}: {error}") from None
    return samples


def check_samples(samples: Iterable[Sample], inputs: tuple[IoTensor, ...], warn: Callable[[str], None]) -> Samples:
    """`samples` as blocks. Each holds an array for every input: one sample of the input's shape, of which
    a batch of 1 may be left out, or several along a leading axis.

    Raises InvalidInput naming the input that is missing, unknown, of another shape or dtype, empty or not finite; warns, one line for
    each, of inputs that are suspiciously large, and of too few samples.
    """
    blocks = [_block(number, sample, inputs) for number, sample in enumerate(samples)]
    count = sum(len(next(iter(block.values()))) for block in blocks)
    if count == 0:
        raise InvalidInput("calibration: there are no samples; give at least one array for each of the model's inputs")
    if count < FEW:
        warn(f"calibration: {count} sample{'s' if count > 1 else ''} only; ranges are reliable from about 100 on")
    for tensor in inputs:
        arrays = [block[tensor.name] for block in blocks]
        if tensor.dtype != "float32":
            continue
        largest = max(float(np.abs(a).max()) for a in arrays)
        if largest > LARGE:
            warn(f"calibration: the input '{tensor.name}' reaches {largest:.3g}; check that it is scaled as in training")
    return Samples(tuple(blocks), count)


def _block(number: int, sample: Sample, inputs: tuple[IoTensor, ...]) -> dict[str, np.ndarray]:
    wanted = ", ".join(f"'{tensor.name}'" for tensor in inputs)
    for name in sample:
        if name not in {tensor.name for tensor in inputs}:
            raise InvalidInput(f"calibration: the model has no input '{name}'; it has {wanted}")
    block, counts = {}, {}
    for tensor in inputs:
        if tensor.name not in sample:
            raise InvalidInput(f"calibration: the input '{tensor.name}' is missing; the model has {wanted}")
        array = np.asarray(sample[tensor.name])
        if str(array.dtype) != tensor.dtype:
            raise InvalidInput(f"calibration: the input '{tensor.name}' has dtype {array.dtype}, the model takes {tensor.dtype}; "
                               f"convert it with .astype('{tensor.dtype}')")
        if array.size == 0:
            raise InvalidInput(f"calibration: the input '{tensor.name}' is empty, shape {array.shape}; give at least one sample")
        array = array[None] if tensor.shape[:1] == (1,) and array.shape == tensor.shape[1:] else array
        count = sample_count(array, Tensor(tensor.name, "", tensor.shape, tensor.dtype, None, None))
        if not count:
            raise InvalidInput(f"calibration: the input '{tensor.name}' has shape {array.shape}, the model takes {tensor.shape}, "
                               "or several along a leading axis")
        block[tensor.name], counts[tensor.name] = array.reshape(count, *tensor.shape), count
        if tensor.dtype == "float32" and not np.isfinite(array).all():
            first = int(np.flatnonzero(~np.isfinite(block[tensor.name].reshape(count, -1)).all(1))[0])
            raise InvalidInput(f"calibration: the input '{tensor.name}' holds NaN or infinity in sample {first}"
                               f"{f' of array {number}' if number else ''}; leave such samples out")
    if len(set(counts.values())) > 1:
        raise InvalidInput(f"calibration: inputs differ in their number of samples: {', '.join(f'{n} has {c}' for n, c in counts.items())}")
    return block
