"""The options of post-training quantization, which every command that takes a float model shares."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable
from typing import Any, get_args

import click

from nnc_tvm.cli.common import tell
from nnc_tvm.errors import InvalidInput
from nnc_tvm.quantize.options import ObserverName, QuantizeOptions, Rounding, Weights

DEFAULTS = QuantizeOptions()
BAR = 40  # characters


def quantization_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options to a command; it is given `quantize` (QuantizeOptions, or None for "leave the model as it is") and `calibration` (a path or None)."""
    fields = [field.name for field in dataclasses.fields(QuantizeOptions) if field.name != "weights"]

    @click.option("--quantize", "scheme", type=click.Choice(["none", *get_args(Weights)]), default="none", show_default=True,
                  help="int8: round a float model to INT8, with scales from --calibration. int4: weights to INT4, activations to INT8. "
                       "none: compile the model as it is.")
    @click.option("--calibration", type=click.Path(path_type=pathlib.Path), metavar="DATA",
                  help="About 100 typical inputs, preprocessed as the model wants them: an .npz file of arrays by input name, or a folder of .npy files.")
    @click.option("--observer", type=click.Choice(get_args(ObserverName)), default=DEFAULTS.observer, show_default=True,
                  help="How ranges follow from the samples. min-max: everything seen. percentile: all but the rarest 0.001% on either side. "
                       "mse: the least squared error. entropy: the least loss of information.")
    @click.option("--bias-correction/--no-bias-correction", default=DEFAULTS.bias_correction, show_default=True,
                  help="Take the mean error that rounded weights cause back by the biases.")
    @click.option("--rounding", type=click.Choice(get_args(Rounding)), default=DEFAULTS.rounding, show_default=True,
                  help="Of weights: each to its nearest step, or adaptive, so that each layer's output on the samples stays close (slower). "
                       "auto: adaptive for int4, nearest for int8.")
    @click.option("--equalize/--no-equalize", default=DEFAULTS.equalize, show_default=True,
                  help="Balance the weights of neighbouring layers first, where only ReLU or pooling stands between them.")
    @click.option("--smooth", type=click.FloatRange(0, 1), metavar="STRENGTH",
                  help="SmoothQuant: move outliers of activations into the weights of matrix products; 0.5 is usual.  [default: none]")
    @click.option("--keep-float", type=click.IntRange(0), default=DEFAULTS.keep_float, metavar="N", show_default=True,
                  help="Leave the N convolutions and matrix products float that int8 hurts most, as measured on the samples.")
    @click.option("--min-sqnr", type=float, metavar="DB",
                  help="Leave all of them float whose own signal to quantization noise is below DB decibels; 20 is a 10 % error.  [default: none]")
    @functools.wraps(command)
    def wrapped(scheme: Any, calibration: pathlib.Path | None, **others: Any) -> None:
        chosen = {name: value for name in fields if (value := others.pop(name)) is not None}
        if scheme == "none" and calibration is not None:
            raise InvalidInput(f"--calibration {calibration} is only read with --quantize int8 or int4; add it, or leave the data out")
        if scheme != "none" and calibration is None:
            raise InvalidInput(f"--quantize {scheme} needs --calibration DATA: an .npz file of typical inputs by input name, or a folder of .npy files")
        command(quantize=QuantizeOptions(weights=scheme, **chosen) if scheme != "none" else None, calibration=calibration, **others)

    return wrapped


def warn(line: str) -> None:
    """A warning, on stderr."""
    tell(f"nnc-tvm: warning: {line}")


def progress_bar(done: int, total: int) -> None:
    """Redraws a bar of calibrated samples on stderr; silent where that is no terminal."""
    if not sys.stderr.isatty():
        return
    filled = BAR * done // total
    end = "\n" if done == total else ""
    print(f"\rnnc-tvm: calibrating [{'#' * filled}{'.' * (BAR - filled)}] {done} of {total} samples", end=end, file=sys.stderr, flush=True)
