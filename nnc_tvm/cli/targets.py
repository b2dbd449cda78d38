"""nnc-tvm targets"""

from __future__ import annotations

import dataclasses
import shutil
from typing import Any

import click

from nnc_tvm.cli.common import json_option, print_json, progress


@click.command()
@click.argument("only", metavar="[KIND]", required=False)
@json_option
def command(only: str | None, as_json: bool) -> None:
    """List the targets: the CPU they are compiled for by default, the tools they need, and whether those are here.

    --mcpu of `nnc-tvm compile` chooses another CPU and with it the instructions that kernels use. KIND: only that one; of the npu
    also the operators that it takes, and what must hold of them.

    \b
    nnc-tvm targets
    nnc-tvm targets npu --json
    """
    from nnc_tvm.package.toolchain import resolve
    from nnc_tvm.package.tvm_pair import check_tvm_pair
    from nnc_tvm.report.table import table

    check_tvm_pair()
    progress("asking LLVM about CPUs")
    from nnc_tvm.targets.npu.constraints import support
    from nnc_tvm.targets.registry import TARGETS, get_target

    rows: list[dict[str, Any]] = []
    for target in [get_target(kind) for kind in ([only] if only else TARGETS)]:
        chain = target.toolchain
        tools = resolve(target.triple, chain.prefix, chain.emulator, chain.packages, chain.flags)
        programs = [f"{tools.prefix}gcc", *tools.emulator[:1]]
        missing = [program for program in programs if shutil.which(program) is None]
        rows.append({
            "target": target.kind, "default_mcpu": target.mcpu, "triple": target.triple, "vector_bits": target.vector_bytes * 8,
            "runs": "here" if tools.native else f"under {tools.emulator[0]}",
            "tools": programs, "missing": missing, "debian_packages": list(tools.debian_packages), "features": sorted(target.features),
        })
    device = get_target(only).companion if only else None
    taken = support() if device else []
    if as_json:
        more = {"config": dataclasses.asdict(device.config), "operators": [dataclasses.asdict(row) for row in taken]} if device else {}
        print_json({"targets": rows, **more})
        return
    cells = [[r["target"], r["default_mcpu"], r["triple"], str(r["vector_bits"]), r["runs"],
              f"apt-get install {' '.join(r['debian_packages'])}" if r["missing"] else "ready"] for r in rows]
    click.echo(table(["target", "default --mcpu", "triple", "vector bits", "runs", "tools"], cells))
    if taken:
        lines = [[row.operator if first else "", row.command if first else "", name, text] for row in taken
                 for first, (name, text) in zip((True, *[False] * len(row.constraints)), row.constraints.items(), strict=False)]
        click.echo(f"\n{table(['operator', 'command', 'constraint', 'what must hold; other layers run on the host'], lines)}")
