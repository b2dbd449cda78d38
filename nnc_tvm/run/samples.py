"""Arrays by the model's own names, checked against a package and cut into samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nnc_tvm.errors import InvalidInput
from nnc_tvm.package.manifest import Manifest, Tensor


def sample_count(array: np.ndarray, tensor: Tensor) -> int | None:
    """How many samples of `tensor` the array holds; None where its shape does not fit.

    For the model's shape (B, rest...) an array is one sample of exactly that shape, N samples as (N * B, rest...), or N as (N, B, rest...).
    """
    shape = tensor.shape
    if array.shape == shape:
        return 1
    if array.ndim == len(shape) + 1 and array.shape[1:] == shape:
        return int(array.shape[0])
    if shape and array.ndim == len(shape) and array.shape[1:] == shape[1:] and array.shape[0] % shape[0] == 0:
        return int(array.shape[0] // shape[0])
    return None


def check_inputs(manifest: Manifest, inputs: Mapping[str, np.ndarray]) -> int:
    """The number of samples in `inputs`. Raises InvalidInput naming the array that is missing, unknown or of another type."""
    names = [tensor.name for tensor in manifest.inputs]
    wanted = ", ".join(f"'{name}'" for name in names)
    for name in inputs:
        if name not in names:
            raise InvalidInput(f"input '{name}': the model has no such input; it has {wanted}")
    counts: dict[str, int] = {}
    for tensor in manifest.inputs:
        if tensor.name not in inputs:
            raise InvalidInput(f"input '{tensor.name}' is missing; the model has {wanted}")
        array = inputs[tensor.name]
        if str(array.dtype) != tensor.dtype:
            raise InvalidInput(f"input '{tensor.name}': dtype {array.dtype}, the model takes {tensor.dtype}; convert it with .astype('{tensor.dtype}')")
        count = sample_count(array, tensor)
        if not count:
            many = f"or N samples as {('N', *tensor.shape[1:]) if tensor.shape[:1] == (1,) else ('N', *tensor.shape)}".replace("'", "")
            raise InvalidInput(f"input '{tensor.name}': shape {array.shape}, the model takes {tensor.shape} {many}")
        counts[tensor.name] = count
    if len(set(counts.values())) > 1:
        raise InvalidInput(f"inputs differ in their number of samples: {', '.join(f'{n} has {c}' for n, c in counts.items())}")
    return next(iter(counts.values()), 1)


def output_shape(manifest: Manifest, inputs: Mapping[str, np.ndarray], output: Tensor, count: int) -> tuple[int, ...]:
    """The shape in which `count` samples of `output` are handed back: the samples' axis is where the inputs have theirs."""
    stacked = any(inputs[t.name].ndim > len(t.shape) for t in manifest.inputs)
    if stacked:
        return (count, *output.shape)
    if count == 1:
        return output.shape
    batch = {t.shape[0] for t in manifest.inputs if t.shape}
    if output.shape and batch == {output.shape[0]}:
        return (count * output.shape[0], *output.shape[1:])
    return (count, *output.shape)
