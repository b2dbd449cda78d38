"""nnc-tvm run"""

from __future__ import annotations

import pathlib

import click

from nnc_tvm.cli.common import package_argument, progress, tell
from nnc_tvm.errors import InvalidInput


@click.command()
@package_argument
@click.option("--inputs", required=True, type=click.Path(path_type=pathlib.Path), metavar="IN.npz", help="Arrays by the model's own input names and dtypes.")
@click.option("--outputs", required=True, type=click.Path(path_type=pathlib.Path), metavar="OUT.npz", help="Where to write the outputs.")
def command(package: pathlib.Path, inputs: pathlib.Path, outputs: pathlib.Path) -> None:
    """Run PACKAGE on the arrays of an .npz file, under qemu where its CPU is foreign.

    A leading axis of N samples runs N times: (1000, 49, 10, 1) for a model that takes (1, 49, 10, 1).

    \b
    python -c "import numpy as np; np.savez('in.npz', image=np.zeros((1, 49, 10, 1), 'int8'))"
    nnc-tvm run kws --inputs in.npz --outputs out.npz
    """
    import numpy as np

    from nnc_tvm.run.execute import run_package
    from nnc_tvm.run.npz import read_npz, write_npz
    from nnc_tvm.run.runner import open_package
    from nnc_tvm.run.samples import check_inputs

    if not outputs.absolute().parent.is_dir():
        raise InvalidInput(f"--outputs {outputs}: {outputs.absolute().parent} is no folder; make it first")
    manifest = open_package(package)
    results = run_package(package, read_npz(inputs, lambda outlines: check_inputs(manifest, outlines)), progress)
    write_npz(outputs, results)
    tell(f"{outputs}: " + ", ".join(f"'{name}' {array.dtype} {np.shape(array)}" for name, array in results.items()))
