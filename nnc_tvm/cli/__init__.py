"""The command line: `nnc-tvm COMMAND`. One file for each command; `main` turns errors into one line and an exit code."""

import sys

try:
    from nnc_tvm.cli.main import main
except KeyboardInterrupt:  # loading takes a while on a slow disk
    print("nnc-tvm: error: interrupted", file=sys.stderr)
    sys.exit(130)

__all__ = ["main"]
