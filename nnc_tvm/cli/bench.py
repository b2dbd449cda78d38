"""nnc-tvm bench"""

from __future__ import annotations

import pathlib

import click

from nnc_tvm.cli.common import json_option, package_argument, print_json, progress, tell


@click.command()
@package_argument
@click.option("--layers", is_flag=True, help="Measure every layer too.")
@json_option
def command(package: pathlib.Path, layers: bool, as_json: bool) -> None:
    """Measure one inference of PACKAGE on its threads: milliseconds here, or guest instructions under qemu; and its bytes.

    \b
    nnc-tvm bench kws
    nnc-tvm bench kws --json | python -m json.tool
    """
    from nnc_tvm.report.package import code_size, layer_table
    from nnc_tvm.report.table import kib, thousands
    from nnc_tvm.run.benchmark import bench_package
    from nnc_tvm.run.runner import open_package

    result = bench_package(package, layers, progress)
    if as_json:
        print_json(result)
        return
    manifest = open_package(package)
    for unit in ("ms", "instructions"):
        costs = [row[unit] for row in result["layers"] if unit in row]
        if costs:
            tell(layer_table(manifest, unit, costs))
    if result["median_ms"] is not None:
        tell(f"time          {result['median_ms']:.4f} ms (median; least {result['min_ms']:.4f} ms)")
    if result["guest_instructions"] is not None:
        tell(f"instructions  {thousands(result['guest_instructions'])} on {manifest.target.mcpu}, counted under {' '.join(manifest.target.emulator)}")
    if "npu_cycles" in result:
        tell(f"npu           {thousands(result['npu_cycles'])} cycles (expected {thousands(result['npu_cycles_estimated'])}), "
             f"{kib(result['npu_sram_peak_bytes'])} of SRAM; {thousands(result['npu_host_macs'])} MACs stay with the CPU")
    tell(f"arena         {kib(result['arena_bytes'])}\nweights       {kib(result['weights_bytes'])}\ncode          {code_size(result['code_bytes'])}")
