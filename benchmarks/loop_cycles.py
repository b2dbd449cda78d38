"""Writes docs/limits.md's table of cycles: what llvm-mca says of the innermost loops of a network's ARM kernels, since instructions are not cycles.

usage: python benchmarks/loop_cycles.py MODEL...      # prints the tables; --write puts them between the page's `<!-- cycles -->` marks

Of every kernel the innermost loop with the most multiply-accumulates is taken from the package's machine code. Needs llvm-mca and the cross tools.
"""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from pages import write_between

ROOT = pathlib.Path(__file__).resolve().parent.parent
NNC = pathlib.Path(sys.executable).parent / "nnc-tvm"
CPUS = ("cortex-a53", "cortex-a55", "cortex-a76")
ROUNDS = 200
FUNCTION, INSTRUCTION = re.compile(r"^[0-9a-f]+ <(\w+)>:$"), re.compile(r"^ +([0-9a-f]+):\t(\S+)\t?([^<]*?)\s*(?:<.*>)?\s*(?://.*)?$")
LANES = re.compile(r"v\d+\.(\d+)[bhsd]")
PER_LANE = {"sdot": 4, "smmla": 8, "smlal": 1, "smlal2": 1, "smull": 1, "smull2": 1, "fmla": 1, "mla": 1}  # products for each lane of the result


@dataclass(frozen=True)
class Loop:
    """instructions: as the assembler takes them. macs: of a turn. cycles: of a turn, by llvm-mca."""

    instructions: tuple[str, ...]
    macs: int
    cycles: float


def macs(instruction: str) -> int:
    name, _, operands = instruction.partition(" ")
    lanes = LANES.search(operands)
    return PER_LANE.get(name, 0) * int(lanes.group(1)) if lanes else 0


def functions(archive: pathlib.Path) -> dict[str, list[tuple[int, str]]]:
    """Symbol -> (address, instruction) of its machine code."""
    listing = subprocess.run(["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", archive], check=True, capture_output=True, text=True).stdout
    found: dict[str, list[tuple[int, str]]] = {}
    body: list[tuple[int, str]] = []
    for line in listing.splitlines():
        if (start := FUNCTION.match(line)) is not None:
            body = found.setdefault(start.group(1), [])
        elif (part := INSTRUCTION.match(line)) is not None:
            body.append((int(part.group(1), 16), f"{part.group(2)} {part.group(3)}"))
    return found


def heaviest_loop(body: list[tuple[int, str]]) -> list[str]:
    """The innermost loop with the most products in a turn; [] where there is none. Its branches lead to one label."""
    loops = []
    for end, (address, text) in enumerate(body):
        target = re.fullmatch(r"(?:b\.\w+|cbn?z \w+,|tbn?z \w+, #\w+,) ?([0-9a-f]+)", text)
        if target is not None and int(target.group(1), 16) <= address:
            start = next((i for i, (place, _) in enumerate(body) if place == int(target.group(1), 16)), end)
            loops.append((start, end))
    innermost = [(s, e) for s, e in loops if not any(s <= a and b <= e and (a, b) != (s, e) for a, b in loops)]
    bodies = [[text for _, text in body[s:e + 1]] for s, e in innermost]
    best = max(bodies, key=lambda part: sum(map(macs, part)), default=[])
    return [re.sub(r"^(b\.\w+|cbn?z \w+,|tbn?z \w+, #\w+,|b) ?[0-9a-f]+$", r"\1 turn", text) for text in best]


def measured(instructions: list[str], cpu: str) -> Loop:
    """The loop as llvm-mca runs it, ROUNDS turns one after the other."""
    listing = "turn:\n" + "\n".join(instructions)
    ran = subprocess.run(["llvm-mca", "-mtriple=aarch64", f"-mcpu={cpu}", f"-iterations={ROUNDS}"], input=listing, check=True, capture_output=True, text=True)
    cycles = re.search(r"Total Cycles: +(\d+)", ran.stdout)
    assert cycles is not None
    return Loop(tuple(instructions), sum(map(macs, instructions)), int(cycles.group(1)) / ROUNDS)


def table(model: pathlib.Path, cpu: str, package: pathlib.Path) -> str:
    """One row a kernel of layers with products, those of the most products first."""
    subprocess.run([NNC, "compile", model, "-o", package, "--target", "arm_cpu", "--mcpu", cpu, "--optimize", "speed"], check=True, capture_output=True)
    manifest = json.loads((package / "manifest.json").read_text())
    code = functions(package / manifest["libraries"][0])
    rows: dict[str, tuple[int, Loop]] = {}
    for layer in manifest["layers"]:
        loops = [measured(part, cpu) for kernel in layer["kernels"] if (part := heaviest_loop(code.get(kernel["symbol"], [])))]
        if layer["macs"] and any(loop.macs for loop in loops):
            shape = "x".join(map(str, layer["output"]["shape"][1:]))
            rows[f"{shape} | {layer['kernel']}"] = layer["macs"], max(loops, key=lambda loop: loop.macs)
    lines = []
    for name, (_, loop) in sorted(rows.items(), key=lambda row: -row[1][0]):
        count = len(loop.instructions)
        lines.append(f"| {name} | {count} | {loop.macs} | {loop.macs / count:.1f} | {loop.cycles:.1f} | {loop.macs / loop.cycles:.1f} |")
    head = ["output", "kernel", "instructions of a turn", "MAC", "MAC per instruction", "cycles", "MAC per cycle"]
    return "\n".join([f"### {model.stem}, {cpu}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines, ""])


def show(models: list[pathlib.Path], write: bool) -> None:
    """Prints the tables of all models and CPUs; with `write` they go to the page."""
    with tempfile.TemporaryDirectory() as folder:
        text = "\n".join(table(model, cpu, pathlib.Path(folder) / f"{model.stem}-{cpu}") for model in models for cpu in CPUS)
    print(text)
    if write:
        write_between(ROOT / "docs/limits.md", "cycles", text)


if __name__ == "__main__":
    show([pathlib.Path(a) for a in sys.argv[1:] if a != "--write"], "--write" in sys.argv)
