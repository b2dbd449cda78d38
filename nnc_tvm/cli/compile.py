"""nnc-tvm compile"""

from __future__ import annotations

import dataclasses
import pathlib
import shlex
from typing import get_args

import click

from nnc_tvm.cli.common import json_option, print_json, progress, tell
from nnc_tvm.cli.quantization import progress_bar, quantization_options, warn
from nnc_tvm.compiler import RequantizeOption, compile_model, quantizer
from nnc_tvm.quantize.options import QuantizeOptions
from nnc_tvm.schedules.forms import FORMS, parse_forms
from nnc_tvm.targets.base import Emit, Optimize
from nnc_tvm.targets.threaded import MOST


@click.command()
@click.argument("model", type=click.Path(path_type=pathlib.Path))
@click.option("--target", "kind", required=True, metavar="KIND", help="arm_cpu, x86_cpu or npu; `nnc-tvm targets` lists them.")
@click.option("--mcpu", metavar="CPU", help="LLVM's name of the CPU: cortex-a53, cortex-a76, neoverse-v1, ...  [default: the target's]")
@click.option("--npu", metavar="LIST", help="For --target npu: sram=64K,macs=128,host=x86_cpu.  [default: as little SRAM as costs few cycles]")
@click.option("-o", "--output", type=click.Path(path_type=pathlib.Path), metavar="DIR", help="Folder of the package.  [default: NAME-KIND]")
@click.option("--name", metavar="NAME", help="Prefix of the C symbols.  [default: from the file's name]")
@click.option("--requantize", type=click.Choice(get_args(RequantizeOption)), default="auto", show_default=True,
              help="fixed: bit-exact with LiteRT's reference kernels. float: ONNX's meaning. "
              "auto: the source format's own; for npu fixed, which is all it computes.")
@click.option("--optimize", type=click.Choice(get_args(Optimize)), default="balanced", show_default=True,
              help="speed: weights may grow severalfold. balanced: at most twice the model's. size: the smallest form of each layer.")
@click.option("--emit", type=click.Choice(get_args(Emit)), default="obj", show_default=True,
              help="obj: a library of machine code. c: C99 source for any compiler; needs no toolchain here.")
@click.option("--threads", type=click.IntRange(1, MOST), default=1, show_default=True, metavar="N",
              help="Threads that run the package together on x86_cpu and arm_cpu (POSIX threads). Outputs stay the same.")
@click.option("--forms", default="auto", show_default=True, metavar="auto|dense|LIST",
              help=f"What pruned weights may become. auto: what its estimated cost says. dense: nothing. LIST: of {', '.join(FORMS)}.")
@click.option("--merge-factors", is_flag=True, help="Multiply low-rank factors of integers back where that is cheaper, although results then differ by "
              "the requantization between them. Floats, and integers that stay the same, need no option.")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="What a dynamic batch becomes.  [default: 1]")
@quantization_options
@json_option
def command(model: pathlib.Path, kind: str, mcpu: str | None, npu: str | None, output: pathlib.Path | None, name: str | None, requantize: RequantizeOption,
            optimize: Optimize, emit: Emit, threads: int, forms: str, merge_factors: bool, batch: int | None, quantize: QuantizeOptions | None,
            calibration: pathlib.Path | None, as_json: bool) -> None:
    """Compile MODEL (.tflite, .onnx or .pt2) into a C package. Float models stay float unless --quantize rounds them.

    The package is a folder with a header, readable C, a library of kernels, Make and CMake files, an example and manifest.json.
    An older package in the same folder is replaced once the new one is complete.

    \b
    nnc-tvm compile kws.tflite --target arm_cpu --mcpu cortex-a76 -o kws
    make -C kws run
    nnc-tvm compile float.onnx --target arm_cpu --quantize int8 --calibration samples.npz
    """
    from nnc_tvm.package.folder import check_output
    from nnc_tvm.package.identifiers import check_package_name, package_name
    from nnc_tvm.package.tvm_pair import check_tvm_pair
    from nnc_tvm.report.package import summary

    check_tvm_pair()
    name = check_package_name(name or package_name(model.stem))
    output = output or pathlib.Path(f"{name}-{kind}")
    check_output(output)
    from nnc_tvm.targets.registry import get_target

    target = dataclasses.replace(get_target(kind, mcpu, npu, emit, threads), optimize=optimize, forms=parse_forms(forms, merge_factors),
                                 merge_factors=merge_factors)
    arguments = () if quantize is None or calibration is None else (quantizer(quantize, calibration, progress, warn, progress_bar),)
    manifest = compile_model(model, target, output, name, requantize, batch, progress, *arguments)
    if as_json:
        print_json(dataclasses.asdict(manifest))
    else:
        folder = shlex.quote(str(output))
        tell(f"{summary(manifest)}\n{output}: `make -C {folder} run` builds and runs the example; `nnc-tvm inspect {folder}` shows the layers")
