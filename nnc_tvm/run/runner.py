"""The C program that runs a package on many samples: generated against the package's header, built by the package's toolchain."""

from __future__ import annotations

import pathlib
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from nnc_tvm.errors import InvalidInput, MissingTool, ToolFailed
from nnc_tvm.package.emit_header import C_TYPES, macro
from nnc_tvm.package.manifest import Manifest, read_manifest
from nnc_tvm.package.toolchain import Tools, resolve, thread_flags

SOURCE = pathlib.Path(__file__).parent / "runner.c"


@dataclass(frozen=True)
class Runner:
    """An executable that runs a package, in the folder `work` with its intermediate files."""

    manifest: Manifest
    tools: Tools
    work: pathlib.Path
    executable: pathlib.Path

    def run(self, mode: str, count: int, files: Sequence[pathlib.Path], emulator_options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Runs the executable (see runner.c for modes). Raises MissingTool without the emulator, ToolFailed when it does not end well."""
        command = [*self.tools.emulator, *emulator_options, str(self.executable), mode, str(count), *map(str, files)]
        try:
            done = subprocess.run(command, cwd=self.work, capture_output=True, text=True, errors="replace")
        except FileNotFoundError:
            raise MissingTool(f"{command[0]} is not installed; on Debian: apt-get install {' '.join(self.tools.debian_packages)}") from None
        if done.returncode == -signal.SIGILL:
            raise ToolFailed(f"{self.manifest.name} is compiled for {self.manifest.target.mcpu}, whose instructions this CPU lacks; compile with --mcpu "
                             "of this machine")
        if done.returncode != 0:
            how = f"exit code {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ToolFailed(f"{self.manifest.name} compiled for {self.manifest.target.mcpu} did not run to its end: {said} ({how})")
        return done


def open_package(folder: pathlib.Path) -> Manifest:
    """The manifest of a package whose files are all there. Raises InvalidInput naming the missing one."""
    manifest = read_manifest(folder)
    for part in (f"include/{manifest.name}.h", *manifest.sources, *manifest.libraries):
        if not (folder / part).is_file():
            raise InvalidInput(f"{folder}: damaged package, {part} is missing; compile the model again")
    return manifest


def build_runner(folder: pathlib.Path, work: pathlib.Path, extra: Sequence[str | pathlib.Path] = ()) -> Runner:
    """Compiles the runner of the package in `folder` into `work`. extra: more arguments for the compiler."""
    manifest = open_package(folder)
    folder = folder.resolve()
    target = manifest.target
    tools = resolve(target.triple, target.toolchain_prefix, target.emulator, target.debian_packages, (*target.compiler_flags, *thread_flags(manifest.threads)))
    (work / "runner.c").write_text(runner_source(manifest))
    sources: list[str | pathlib.Path] = ["runner.c", *(folder / file for file in manifest.sources), *extra]
    libraries: list[str | pathlib.Path] = [*(folder / file for file in manifest.libraries), *(["-lm"] if manifest.libm else []), *tools.link_flags]
    try:
        tools.compile(f"-I{folder / 'include'}", *sources, *libraries, "-D_POSIX_C_SOURCE=200809L", "-o", "runner", folder=work)
    except ToolFailed as error:
        raise ToolFailed(f"{folder}: the package does not build: {error}; where its files have changed, compile the model again") from error
    return Runner(manifest, tools, work, work / "runner")


def runner_source(manifest: Manifest) -> str:
    """runner.c for the package's inputs and outputs."""
    prefix = macro(manifest.name)
    memory, pointers, sizes = [], {}, {}
    for kind, short, tensors in (("INPUT", "in", manifest.inputs), ("OUTPUT", "out", manifest.outputs)):
        names = [f"{short}_{t.identifier}" for t in tensors]
        macros = [f"{prefix}_{kind}_{t.identifier.upper()}" for t in tensors]
        memory += [f"static {C_TYPES[t.dtype]} {name}[{m}_ELEMENTS];" for t, name, m in zip(tensors, names, macros, strict=True)]
        pointers[kind] = ", ".join(names)
        sizes[kind] = ", ".join(f"{m}_BYTES" for m in macros)
    name = manifest.name
    words = {
        **({"THREADS": f"static {name}_threads threads;\n", "RUN": f"{name}_run_threads(&threads, ", "STOP": f"    {name}_threads_stop(&threads);\n",
            "START": f'    {name}_threads_start(&threads, strcmp(argv[1], "count") == 0 ? 1 : {prefix}_THREADS);\n'} if manifest.threads > 1 else
           {"THREADS": "", "RUN": f"{name}_run(", "START": "", "STOP": ""}),
        "NAME": manifest.name, "MACRO": prefix, "INPUTS": str(len(manifest.inputs)), "OUTPUTS": str(len(manifest.outputs)), "MEMORY": "\n".join(memory),
        "IN": pointers["INPUT"], "OUT": pointers["OUTPUT"], "INPUT_BYTES": sizes["INPUT"], "OUTPUT_BYTES": sizes["OUTPUT"],
    }
    text = SOURCE.read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
