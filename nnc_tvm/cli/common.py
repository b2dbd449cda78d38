"""What the commands share: arguments, progress, JSON."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import click

from nnc_tvm.errors import InvalidInput

package_argument = click.argument("package", type=click.Path(path_type=pathlib.Path))
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")


def progress(line: str) -> None:
    """A line for people, on stderr."""
    print(f"nnc-tvm: {line} ...", file=sys.stderr, flush=True)


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    print(json.dumps(value))


def tell(text: str) -> None:
    """Text for people, on stderr: stdout is for programs."""
    print(text, file=sys.stderr)


def write_picture(plot: pathlib.Path, svg: str) -> None:
    """Writes an SVG, whole or not at all."""
    from nnc_tvm.run.whole import whole

    with whole(plot) as file:
        file.write(svg.encode())


def check_picture(plot: pathlib.Path | None) -> None:
    """Raises InvalidInput where --plot names something that cannot become an SVG."""
    if plot is not None and plot.suffix.lower() != ".svg":
        raise InvalidInput(f"--plot {plot}: pictures are written as SVG; name it {plot.with_suffix('.svg')}")
    if plot is not None and not plot.absolute().parent.is_dir():
        raise InvalidInput(f"--plot {plot}: {plot.absolute().parent} is no folder; make it first")
