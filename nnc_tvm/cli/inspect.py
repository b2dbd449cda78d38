"""nnc-tvm inspect"""

from __future__ import annotations

import dataclasses
import pathlib

import click

from nnc_tvm.cli.common import json_option, package_argument, print_json


@click.command()
@package_argument
@json_option
def command(package: pathlib.Path, as_json: bool) -> None:
    """Show what PACKAGE was made of: inputs, outputs, bytes, and for every layer its operator, form, kernels and why.

    \b
    nnc-tvm inspect kws
    nnc-tvm inspect kws --json | python -m json.tool
    """
    from nnc_tvm.package.manifest import read_manifest
    from nnc_tvm.report.package import layer_table, summary

    manifest = read_manifest(package)
    if as_json:
        print_json(dataclasses.asdict(manifest))
    else:
        click.echo(f"{summary(manifest)}\n\n{layer_table(manifest)}")
