"""How the range of an activation follows from its values: one observer per file, `choose(histogram) -> (low, high)`."""

from __future__ import annotations

from collections.abc import Callable

from nnc_tvm.quantize.histogram import Histogram
from nnc_tvm.quantize.observers import entropy, min_max, mse, percentile
from nnc_tvm.quantize.options import ObserverName

Observer = Callable[[Histogram], tuple[float, float]]

OBSERVERS: dict[ObserverName, Observer] = {"min-max": min_max.choose, "percentile": percentile.choose, "mse": mse.choose, "entropy": entropy.choose}
