"""nnc-tvm verify"""

from __future__ import annotations

import pathlib

import click

from nnc_tvm.cli.common import check_picture, json_option, package_argument, print_json, progress, tell, write_picture


@click.command()
@package_argument
@click.argument("model", type=click.Path(path_type=pathlib.Path))
@click.option("--inputs", required=True, type=click.Path(path_type=pathlib.Path), metavar="IN.npz", help="Arrays by the model's own input names and dtypes.")
@click.option("--plot", type=click.Path(path_type=pathlib.Path), metavar="OUT.svg", help="Draw the layers' SQNR.")
@json_option
def command(package: pathlib.Path, model: pathlib.Path, inputs: pathlib.Path, plot: pathlib.Path | None, as_json: bool) -> None:
    """Compare PACKAGE with MODEL, layer by layer, on the arrays of an .npz file.

    MODEL is computed by its own runtime where that is installed: ONNX Runtime without graph optimizations, LiteRT's reference kernels,
    PyTorch; else by nnc-tvm's reference. It may be the float original of a quantized package: integers are compared by what they mean.

    \b
    nnc-tvm verify kws kws.tflite --inputs in.npz
    nnc-tvm verify kws kws.tflite --inputs in.npz --plot kws.svg --json
    """
    from nnc_tvm.report.verification import sqnr_picture, verification_text
    from nnc_tvm.run.npz import read_npz
    from nnc_tvm.run.runner import open_package
    from nnc_tvm.run.samples import check_inputs
    from nnc_tvm.verify import verify_package

    check_picture(plot)
    manifest = open_package(package)
    found = verify_package(package, model, read_npz(inputs, lambda outlines: check_inputs(manifest, outlines)), progress)
    if plot is not None:
        write_picture(plot, sqnr_picture(found))
        tell(f"{plot}: signal to noise of {len(found.layers)} layers")
    if as_json:
        print_json(found.as_dict())
    else:
        click.echo(verification_text(found))
