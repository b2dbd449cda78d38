"""The command line: `nnc-tvm COMMAND`. One file for each command; `main` turns errors into one line and an exit code."""

from nnc_tvm.cli.main import main

__all__ = ["main"]
