"""The verbs of `import nnc_tvm`. They raise the classes of nnc_tvm.errors, each with one line that says what to do."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from nnc_tvm.compiler import RequantizeOption, compile_model, quantizer
from nnc_tvm.errors import InvalidInput
from nnc_tvm.targets.base import Emit, Optimize

if TYPE_CHECKING:
    import numpy as np

    from nnc_tvm.frontend.model import SourceModel
    from nnc_tvm.frontend.torch_file import ExportedProgram
    from nnc_tvm.package.manifest import Manifest
    from nnc_tvm.quantize.options import QuantizeOptions
    from nnc_tvm.verify import Verification

def silent(line: str) -> None:
    """Progress that nobody reads."""


def warn(line: str) -> None:
    """A warning about calibration samples."""
    warnings.warn(line, UserWarning, stacklevel=2)


@dataclass(frozen=True)
class Package(os.PathLike[str]):
    """A compiled package: its folder, and what it says about itself."""

    folder: pathlib.Path
    manifest: Manifest

    def __fspath__(self) -> str:
        return str(self.folder)


def load(model: str | os.PathLike[str] | ExportedProgram, batch: int | None = None) -> SourceModel:
    """The model in QDQ form. batch: what a dynamic batch becomes, by default 1. Raises InvalidInput, InvalidModel, Unsupported or MissingTool."""
    from nnc_tvm.frontend import load as load_model

    return load_model(as_model(model), batch)


def quantize(source: SourceModel, samples: Iterable[Mapping[str, np.ndarray]], options: QuantizeOptions | None = None) -> SourceModel:
    """A float model in INT8. samples: arrays by input name, one inference each, representative of real data; samples that look wrong are warned of."""
    from nnc_tvm.quantize.options import QuantizeOptions
    from nnc_tvm.quantize.post_training import quantize as quantize_model

    return quantize_model(source, samples, options or QuantizeOptions(), warn)


def compile(model: str | os.PathLike[str] | ExportedProgram, target: str = "x86_cpu", output: str | os.PathLike[str] | None = None, *,
            mcpu: str | None = None, npu: str | Mapping[str, object] | None = None, name: str | None = None, requantize: RequantizeOption = "auto",
            optimize: Optimize = "balanced", forms: str = "auto", merge_factors: bool = False, emit: Emit = "obj", threads: int = 1, batch: int | None = None,
            quantize: QuantizeOptions | None = None,
            calibration: str | os.PathLike[str] | Iterable[Mapping[str, np.ndarray]] | None = None, progress: Callable[[str], None] = silent) -> Package:
    """Compiles a model into a C package.

    target, mcpu: as `nnc-tvm targets` lists them. npu: options of the target "npu", such as dict(sram="64K", macs=128, host="x86_cpu").
    output: the package's folder, by default NAME-TARGET. name: prefix of the C symbols, by default the file's name, or "model". calibration:
    samples (arrays by input name) or a file of them; with it a float model is quantized, as `quantize` says. The other options are those of
    `nnc-tvm compile`.
    """
    from nnc_tvm.package.folder import check_output
    from nnc_tvm.package.identifiers import check_package_name, package_name
    from nnc_tvm.package.tvm_pair import check_tvm_pair

    check_tvm_pair()
    check_choices(optimize=(optimize, get_args(Optimize)), emit=(emit, get_args(Emit)), requantize=(requantize, get_args(RequantizeOption)))
    if not isinstance(threads, int):
        raise InvalidInput(f"threads={threads!r}: a whole number of threads")
    model = as_model(model)
    name = check_package_name(name or (package_name(model.stem) if isinstance(model, pathlib.Path) else "model"))
    folder = pathlib.Path(output or f"{name}-{target}")
    check_output(folder)
    if quantize is not None and calibration is None:
        raise InvalidInput("quantize needs calibration: samples of the model's inputs, or an .npz file of them")
    from nnc_tvm.quantize.options import QuantizeOptions
    from nnc_tvm.schedules.forms import parse_forms
    from nnc_tvm.targets.registry import get_target

    options = ",".join(f"{key}={value}" for key, value in npu.items()) if isinstance(npu, Mapping) else npu
    device = dataclasses.replace(get_target(target, mcpu, options, emit, threads), optimize=optimize,
                                 forms=parse_forms(forms, merge_factors), merge_factors=merge_factors)
    more: dict[str, Any] = {}
    if calibration is not None:
        samples = pathlib.Path(calibration) if isinstance(calibration, str | os.PathLike) else calibration
        more["quantize"] = quantizer(quantize or QuantizeOptions(), samples, progress, warn)
    return Package(folder, compile_model(model, device, folder, name, requantize, batch, progress, **more))


def run(package: str | os.PathLike[str], inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs of a package by name, natively or under the emulator of its CPU. inputs: arrays by name; N samples have a leading axis."""
    from nnc_tvm.run.execute import run_package

    return run_package(pathlib.Path(package), as_arrays(inputs))


def verify(package: str | os.PathLike[str], model: str | os.PathLike[str] | ExportedProgram, inputs: Mapping[str, np.ndarray]) -> Verification:
    """A package beside the model it was compiled from, layer by layer, on `inputs`."""
    from nnc_tvm.verify import verify_package

    return verify_package(pathlib.Path(package), as_model(model), as_arrays(inputs))


def check_choices(**given: tuple[str, tuple[str, ...]]) -> None:
    """given: by option, its value and the values that it may have. Raises InvalidInput for the first that has another."""
    for option, (value, choices) in given.items():
        if value not in choices:
            raise InvalidInput(f"{option}={value!r}: not one of {', '.join(choices)}")


def as_arrays(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Inputs by name, lists as arrays. Raises InvalidInput for what has no names."""
    import numpy as np

    if not isinstance(inputs, Mapping):
        raise InvalidInput(f"inputs are a {type(inputs).__name__}; give arrays by input name, such as {{'x': array}}")
    return {name: np.asarray(array) for name, array in inputs.items()}


def as_model(model: str | os.PathLike[str] | ExportedProgram) -> pathlib.Path | ExportedProgram:
    """Paths as pathlib's; everything else as it is."""
    return pathlib.Path(model) if isinstance(model, str | os.PathLike) else model
