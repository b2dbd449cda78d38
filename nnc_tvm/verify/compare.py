"""How far a package is from its source: signal to noise, exactness, largest difference, argmax agreement."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnc_tvm.verify.tensor import Tensor, fitting_layouts, in_layout, same_footing

TINY = 1e-30  # stands for a signal of nothing but zeros


@dataclass(frozen=True)
class Difference:
    """sqnr_db: 10 log10(sum of squares of the source / of the differences) over all samples; None if there is no difference, or none that is finite.

    max_diff: the largest difference, None where it is not finite. exact: equal in all elements. unit: of max_diff, "steps" of a
    quantization or "reals".
    """

    sqnr_db: float | None
    exact: bool
    max_diff: float | None
    unit: str


@dataclass(frozen=True)
class LayerDifference(Difference):
    """name: the layer's. source: the source's tensor. index: the layer's number, from 0: the manifest's, with an NPU's layers
    in place of its networks."""

    index: int
    name: str
    op: str
    source: str


@dataclass(frozen=True)
class OutputDifference(Difference):
    """argmax_agreement: share of samples whose largest element is at the same place."""

    name: str
    argmax_agreement: float


@dataclass(frozen=True)
class Verification:
    """What `verify_package` found.

    package: its name. source: what computed the model. same_model: whether the file is the one that the package was compiled from.
    argmax_agreement: the least of the outputs'. not_compared: layers without a tensor of the source to compare with.
    """

    package: str
    source: str
    same_model: bool
    samples: int
    argmax_agreement: float
    exact: bool
    outputs: tuple[OutputDifference, ...]
    layers: tuple[LayerDifference, ...]
    not_compared: tuple[str, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


class Accumulator:
    """Sums over samples. Both arguments of `add` are tensors of one sample; theirs may be in another order of axes."""

    def __init__(self) -> None:
        self.signal = self.noise = self.largest = 0.0
        self.unequal = self.samples = self.agreements = 0
        self.unit = "steps"
        self.axes: tuple[int, ...] | None = None

    def add(self, ours: Tensor, theirs: Tensor) -> bool:
        """Takes a sample; False where the tensors' sizes differ."""
        if self.samples == 0:
            layouts = fitting_layouts(theirs.array, ours.array.shape)
            if not layouts:
                return False
            # where the shape alone does not tell (a cube, say), the right order is the one that is close
            self.axes = min(layouts, key=lambda axes: self.differences(ours, theirs, axes)[2])
        ours_values, theirs_values, noise = self.differences(ours, theirs, self.axes)
        difference = np.abs(ours_values - theirs_values)
        self.signal += float(np.square(theirs_values).sum())
        self.noise += noise
        self.largest = max(self.largest, float(difference.max(initial=0.0)))
        self.unequal += int(np.count_nonzero(difference))
        self.samples += 1
        self.agreements += int(ours_values.size > 0 and int(ours_values.argmax()) == int(theirs_values.argmax()))
        return True

    def differences(self, ours: Tensor, theirs: Tensor, axes: tuple[int, ...] | None) -> tuple[np.ndarray, np.ndarray, float]:
        """(ours, theirs, sum of squares of the differences); elements that are the same infinity or both NaN count as equal."""
        moved = Tensor(in_layout(theirs.array, axes, ours.array.shape), theirs.scale, theirs.zero_point)
        a, b, self.unit = same_footing(ours, moved)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        a, b = np.where(same & ~np.isfinite(b), 0.0, a), np.where(same & ~np.isfinite(b), 0.0, b)
        noise = float(np.square(a - b).sum())
        return a, b, noise if math.isfinite(noise) else math.inf

    def result(self) -> Difference:
        finite = math.isfinite(self.noise) and math.isfinite(self.signal)
        sqnr = 10 * math.log10(max(self.signal, TINY) / self.noise) if finite and self.noise > 0 else None
        return Difference(sqnr, self.unequal == 0, self.largest if finite else None, self.unit)
