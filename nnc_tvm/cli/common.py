"""What the commands share: arguments, progress, JSON."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import click

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
