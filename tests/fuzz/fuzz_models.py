"""Mutates real models and compiles what comes of them: each is a model or one clear line. A crash, a hang or a traceback fails.

    python tests/fuzz/fuzz_models.py 20000 [--seed 1] [--first 0] [--package-every 50] [--suffix .pt2]

Every mutation goes through the front end and the passes, one in --package-every through the whole compiler. A failing mutation is
kept in build/fuzz and made again by its seed and number: --seed S --first N with a count of 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pathlib
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from multiprocessing.connection import Connection

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.fuzz.corpus import corpus  # noqa: E402
from tests.fuzz.mutations import mutate  # noqa: E402  (found through the line above)

HANG_SECONDS = 20  # of processor time, so that other programs on the machine cost nothing
PACKAGE_SECONDS = 60  # the same where a C compiler works beside us
STUCK_SECONDS = 900  # on the clock: waiting for something that never comes uses no processor
MEMORY = 6 << 30  # beyond what is loaded; a model that asks for more gets a MemoryError, not the machine


def attempt(path: pathlib.Path, package: bool) -> str:
    """"compiled" or "refused"; raises whatever else happens, a warning that a user would see included."""
    from nnc_tvm.compiler import compile_model
    from nnc_tvm.errors import NncError
    from nnc_tvm.frontend import load
    from nnc_tvm.relay_passes.pipeline import to_program
    from nnc_tvm.targets.registry import get_target

    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", RuntimeWarning)
            try:
                source = load(path)
                to_program(source.module, source.default_requantize)
                if package:
                    shutil.rmtree(path.parent / "package", ignore_errors=True)
                    compile_model(path, get_target("x86_cpu"), path.parent / "package")
            finally:
                noise = [f"{w.filename}:{w.lineno}: {w.message}" for w in warned if issubclass(w.category, RuntimeWarning)]
                assert not noise, noise
        return "compiled"
    except NncError as error:
        assert "\n" not in str(error) and len(str(error)) < 500, f"not one line: {error!r}"
        return "refused"


def processor_seconds(pid: int) -> float:
    """What a process and the children that it has waited for have used."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def hangs(pipe: Connection, pid: int, limit: float) -> bool:
    """Whether a process uses up its limit of processor time before it sends something."""
    started, used = time.monotonic(), processor_seconds(pid)
    while not pipe.poll(1):
        if processor_seconds(pid) - used > limit or time.monotonic() - started > STUCK_SECONDS:
            return True
    return False


def work(pipe: Connection, families: list[list[pathlib.Path]], seed: int, numbers: range, every: int, folder: pathlib.Path) -> None:
    """Tries mutations one after the other; sends each number before it starts and (number, outcome, traceback) when it is done."""
    limit = MEMORY + int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number in numbers:
        rng = np.random.default_rng((seed, number))
        family = families[int(rng.integers(len(families)))]
        source = family[int(rng.integers(len(family)))]
        for old in folder.glob("case.*"):
            old.unlink()
        target = folder / f"case{source.suffix}"
        target.write_bytes(mutate(source, rng))
        pipe.send(number)
        try:
            pipe.send((number, attempt(target, every > 0 and number % every == 0), ""))
        except Exception:
            shutil.copy(target, folder / f"failed_{number}{source.suffix}")
            pipe.send((number, "traceback", traceback.format_exc()))
    pipe.send(None)


def fuzz(count: int, seed: int = 1, first: int = 0, every: int = 0, keep: pathlib.Path | None = None, suffix: str = "") -> tuple[Counter[str], list[str]]:
    """(how often each outcome occurred, a report per failure). suffix: of the models to mutate, "" for all."""
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        families = [kept for family in corpus(folder) if (kept := [path for path in family if path.suffix.endswith(suffix)])]
        number, end = first, first + count
        while number < end:
            receiver, sender = context.Pipe(duplex=False)
            worker = context.Process(target=work, args=(sender, families, seed, range(number, end), every, folder), daemon=True)
            worker.start()
            sender.close()
            running = number
            while True:
                what = None
                limit = PACKAGE_SECONDS if every and running % every == 0 else HANG_SECONDS
                if not hangs(receiver, worker.pid, limit):
                    try:
                        message = receiver.recv()
                    except EOFError:
                        what, text = "crash", f"the process ended (exit code {worker.exitcode})"
                    else:
                        if message is None:
                            running = end
                            break
                        if isinstance(message, int):
                            running = message
                            continue
                        _, what, text = message
                else:
                    what, text = "hang", f"no answer in {limit} s of processor time"
                outcomes[what] += 1
                if sum(outcomes.values()) % 500 == 0:
                    print(f"{sum(outcomes.values())} of {count}: {dict(outcomes)}", file=sys.stderr, flush=True)
                if what in ("crash", "hang", "traceback"):
                    failures.append(f"mutation {running} of seed {seed}: {what}: {text.strip()}")
                    print(failures[-1], file=sys.stderr, flush=True)
                    if keep:
                        keep.mkdir(parents=True, exist_ok=True)
                        for case in folder.glob(f"failed_{running}.*" if what == "traceback" else "case.*"):
                            shutil.copy(case, keep / f"{seed}_{running}{case.suffix}")
                if what in ("crash", "hang"):
                    running += 1
                    break
            number = running
            worker.kill()
            worker.join()
    return outcomes, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--package-every", type=int, default=50)
    parser.add_argument("--suffix", default="", help="mutate only models that end so: .onnx, .tflite, .pt2")
    options = parser.parse_args()
    import tvm  # noqa: F401  (once, before the workers are forked)

    started = time.monotonic()
    outcomes, failures = fuzz(options.count, options.seed, options.first, options.package_every, ROOT / "build" / "fuzz", options.suffix)
    print(f"{options.count} mutations in {time.monotonic() - started:.0f} s: {dict(outcomes)}")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
