"""Speed against sparsity: single layers with zeros in every pattern over the best dense form, in time on this machine, in guest instructions on ARM.

usage: python benchmarks/sparsity.py CPU... [--percents 0,30,...] [--write] [--keep FILE] [--check] [--outputs]    # prints docs/sparsity.md's tables

--write puts them between the page's marks, with pictures. --keep: what is measured is written to a JSON file and not measured again, so that a run
may be cut short. --check: a form that takes more than the dense one is printed and makes the exit status 1. --outputs: those of every package are
compared with those of the dense forms.

Both packages are compiled with `--optimize speed`, once with all forms and once with `--forms dense`, Winograd included. A ratio is the least of
one's repetitions over the least of the other's, in turn. Weights and images are random; which form a layer takes is the compiler's choice.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

from zeros.measure import CPUS, measured, slower
from zeros.page import tables, write

ZEROS = (0, 30, 50, 70, 80, 90, 95)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cpus", nargs="+", choices=CPUS, metavar="CPU", help=", ".join(CPUS))
    parser.add_argument("--percents", type=lambda text: [int(part) for part in text.split(",")], default=ZEROS)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--outputs", action="store_true")
    arguments = parser.parse_args()
    failed = False
    for cpu in arguments.cpus:
        found = measured(cpu, arguments.percents, arguments.keep, arguments.outputs)
        print(tables(cpu, found))
        if arguments.write:
            write(cpu, found)
        if arguments.check:
            for line in slower(found):
                print(f"slower than dense: {cpu}, {line}", file=sys.stderr)
                failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
