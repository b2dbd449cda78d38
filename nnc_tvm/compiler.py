"""compile_model(): front end -> passes -> schedule rules -> package. The map a newcomer reads first."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from nnc_tvm.frontend.model import SourceModel
    from nnc_tvm.frontend.torch_file import ExportedProgram
    from nnc_tvm.package.manifest import Manifest
    from nnc_tvm.quantize.options import QuantizeOptions
    from nnc_tvm.quantize.samples import Sample
    from nnc_tvm.targets.base import Target

RequantizeOption = Literal["auto", "fixed", "float"]


def compile_model(model: pathlib.Path | ExportedProgram, target: Target, output: pathlib.Path, name: str | None = None,
                  requantize: RequantizeOption = "auto", batch: int | None = None, progress: Callable[[str], None] = lambda line: None,
                  quantize: Callable[[SourceModel], SourceModel] = lambda source: source) -> Manifest:
    """Compiles a model file, or what torch.export.export returned, for `target` into the package folder `output`; returns the manifest.

    name: prefix of the package's C symbols, by default made from the file's name. requantize: the meaning of requantization, by
    default the target's, where it has but one ("fixed" for npu), or the source format's ("fixed" for TFLite, "float" for the others).
    batch: what a dynamic batch becomes, by default 1. progress is told one line per phase. quantize: what becomes of the model before it
    is compiled, see `quantizer`.
    Raises InvalidModel, Unsupported, InvalidInput, MissingTool or ToolFailed, each with one line that says what to do.
    """
    # each stage is imported when it runs: `import nnc_tvm` stays fast, and a refused file never loads TVM
    from nnc_tvm.frontend import load
    from nnc_tvm.package import write_package
    from nnc_tvm.package.identifiers import package_name

    progress(f"reading {model.name if isinstance(model, pathlib.Path) else 'the exported program'}")
    source = quantize(load(model, batch))
    from nnc_tvm.relay_passes.float_notes import with_notes
    from nnc_tvm.relay_passes.fuse_chains import fuse_chains
    from nnc_tvm.relay_passes.fuse_rescales import fuse_rescales
    from nnc_tvm.relay_passes.fuse_residuals import fuse_residuals
    from nnc_tvm.relay_passes.merge_factors import merge_factors
    from nnc_tvm.relay_passes.pipeline import compress, to_program
    from nnc_tvm.relay_passes.schedule_layers import schedule_layers
    from nnc_tvm.relay_passes.split_kernels import split_kernels

    mode = requantize if requantize != "auto" else target.requantize or source.default_requantize
    program = with_notes(to_program(source.module, mode), source.notes)
    program = compress(program, target)
    if target.companion is not None:
        from nnc_tvm.package.arena import place
        from nnc_tvm.relay_passes.partition import partition

        progress(f"planning {len(program.layers)} layers for the {target.kind}")
        program = partition(program, target.companion, place)
    program = merge_factors(program, target)
    progress(f"scheduling {len(program.layers)} layers for {target.kind} {target.mcpu}")
    scheduled = fuse_chains(schedule_layers(fuse_residuals(fuse_rescales(program, target), target), target), target)
    scheduled = split_kernels(scheduled, target.threads)
    return write_package(scheduled, source, target, name or package_name(source.name), output, progress)


def quantizer(options: QuantizeOptions, calibration: pathlib.Path | Iterable[Sample], progress: Callable[[str], None] = lambda line: None,
              warn: Callable[[str], None] = lambda line: None,
              tick: Callable[[int, int], None] = lambda done, total: None) -> Callable[[SourceModel], SourceModel]:
    """`quantize` for compile_model: rounds a float model to INT8 (nnc_tvm.quantize).

    calibration: arrays by input name, or an .npz file or folder of .npy files of them. warn is told one line for each tensor whose samples
    look wrong; tick(done, total) moves a progress bar.
    """

    def apply(source: SourceModel) -> SourceModel:
        from nnc_tvm.quantize.post_training import quantize
        from nnc_tvm.quantize.samples import read_calibration

        samples = read_calibration(calibration, source.inputs) if isinstance(calibration, pathlib.Path) else calibration
        progress(f"quantizing {source.name}")
        return quantize(source, samples, options, warn, tick, progress)

    return apply
