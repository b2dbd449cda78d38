"""nnc-tvm inspect"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING

import click

from nnc_tvm.cli.common import check_picture, json_option, package_argument, print_json, tell, write_picture
from nnc_tvm.errors import InvalidInput

if TYPE_CHECKING:
    from nnc_tvm.package.manifest import Manifest


@click.command()
@package_argument
@click.option("--plot", type=click.Path(path_type=pathlib.Path), metavar="OUT.svg", help="Draw what the NPU's DMA and array do in time.")
@click.option("--advise", is_flag=True, help="Instead: what would make each layer faster on this target, by estimated cost.")
@json_option
def command(package: pathlib.Path, plot: pathlib.Path | None, advise: bool, as_json: bool) -> None:
    """Show what PACKAGE was made of: inputs, outputs, bytes, and for every layer its operator, form, kernels and why.

    Of packages for the NPU also its layers: cycles (in all; of the array, the SRAM's port and the flash), what bounds them, utilization and SRAM;
    lower bounds of the total; and why the other layers stay with the host.

    \b
    nnc-tvm inspect kws
    nnc-tvm inspect kws --json | python -m json.tool
    nnc-tvm inspect kws --advise
    nnc-tvm inspect kws-npu --plot schedule.svg
    """
    from nnc_tvm.package.manifest import read_manifest
    from nnc_tvm.report.npu import npu_text, schedule_picture
    from nnc_tvm.report.package import layer_table, summary

    check_picture(plot)
    manifest = read_manifest(package)
    if plot is not None:
        if manifest.npu is None:
            raise InvalidInput(f"--plot {plot}: {package} has no part for an NPU to draw")
        write_picture(plot, schedule_picture(manifest))
        tell(f"{plot}: {len(manifest.npu.commands)} commands in time")
    if advise:
        show_advice(manifest, as_json)
    elif as_json:
        print_json(dataclasses.asdict(manifest))
    else:
        click.echo("\n\n".join(text for text in (summary(manifest), layer_table(manifest), npu_text(manifest)) if text))


def show_advice(manifest: Manifest, as_json: bool) -> None:
    """The changes of layers that would save most, first."""
    from nnc_tvm.report.advice import advice_table, advise

    made = advise(manifest)
    if as_json:
        print_json({"name": manifest.name, "advice": [dataclasses.asdict(a) for a in made]})
    elif made:
        click.echo(f"{manifest.name} on {manifest.target.kind} {manifest.target.mcpu}: changes of one layer each, by estimated instructions; what saves most "
                   f"of the network first\n\n{advice_table(made)}")
    else:
        click.echo(f"{manifest.name}: no change of a layer would make it much faster on {manifest.target.kind} {manifest.target.mcpu}")
