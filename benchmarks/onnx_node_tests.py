"""Runs ONNX's backend node tests (onnx.backend.test) and prints how many pass, and the reason of each that does not.

usage: python benchmarks/onnx_node_tests.py [--packages] [--only TEXT] [--json FILE] [--write]

A node test hands weights, shapes and axes over as inputs of the model. Where the compiler wants them constant, all inputs but the first
are made initializers with the test's own values. By default the integer graph is run by the NumPy oracle (seconds for all tests); with
--packages every model is compiled for x86_cpu, its C package run and compared (some ten minutes). --write puts the result into docs/onnx_operators.md.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from nnc_tvm.errors import NncError

DOCUMENT = pathlib.Path(__file__).resolve().parents[1] / "docs" / "onnx_operators.md"
HEAD = """# ONNX's node tests, operator by operator

ONNX ships tests of single operators (`onnx.backend.test`), written for run time: weights, shapes and axes are inputs there. `nnc-tvm` wants
some of these constant, and then gets the test's own values as constants. "pass" counts the tests whose outputs are right (quantized
ones within one step), by {how}. This page is written by `{command}`.

{counts}

| operator | pass | cannot pass, and why |
|---|---|---|
"""
Arrays = dict[str, np.ndarray]
Run = Callable[[pathlib.Path, Arrays], list[np.ndarray]]


def by_oracle(path: pathlib.Path, inputs: Arrays) -> list[np.ndarray]:
    """The outputs of the integer graph."""
    from nnc_tvm.frontend import load
    from nnc_tvm.reference import run_program
    from nnc_tvm.relay_passes.pipeline import to_program

    program = to_program(load(path).module, "float")
    values = run_program(program, dict(zip(program.inputs, inputs.values(), strict=False)))
    return [values[name] for name in program.outputs]


def by_package(path: pathlib.Path, inputs: Arrays) -> list[np.ndarray]:
    """The outputs of the package compiled for this machine."""
    from nnc_tvm.compiler import compile_model
    from nnc_tvm.run import run_package
    from nnc_tvm.targets.registry import get_target

    with tempfile.TemporaryDirectory() as folder:
        manifest = compile_model(path, get_target("x86_cpu"), pathlib.Path(folder) / "package")
        found = run_package(pathlib.Path(folder) / "package", inputs)
        return [found[t.name] for t in manifest.outputs]


def with_constants(model: onnx.ModelProto, inputs: Arrays) -> tuple[onnx.ModelProto, Arrays]:
    """The model with every input but the first as an initializer."""
    changed = onnx.ModelProto.FromString(model.SerializeToString())
    first, *others = inputs
    changed.graph.initializer.extend(numpy_helper.from_array(inputs[name], name) for name in others)
    kept = [v for v in changed.graph.input if v.name == first]
    del changed.graph.input[:]
    changed.graph.input.extend(kept)
    return changed, {first: inputs[first]}


def differs(found: np.ndarray, wanted: Any, rtol: float, atol: float) -> str:
    """What is wrong with an output; "" for nothing."""
    wanted = np.asarray(wanted)
    if found.shape != wanted.shape and not (found.size == wanted.size and wanted.ndim == 0):
        return f"wrong shape {list(found.shape)}, not {list(wanted.shape)}"
    if found.dtype != wanted.dtype:
        return f"wrong dtype {found.dtype}, not {wanted.dtype}"
    found = found.reshape(wanted.shape)
    if np.allclose(found.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=atol, equal_nan=True):
        return ""
    off = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
    if wanted.dtype.kind in "iu" and wanted.dtype.itemsize == 1 and off.max() <= 1:
        return ""  # a quantized result within one step: the meaning of requantization that the project states
    return f"wrong values, off by up to {np.nanmax(off):.3g}"


def outcome(case: Any, run: Run, path: pathlib.Path) -> tuple[str, str]:
    """("as it is" or "with constants" or "refused" or "failed", the reason)."""
    kind = reason = ""
    for constants in (False, True):
        for data in case.data_sets:
            model = case.model
            arrays = [numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x for x in data[0]]
            if not all(isinstance(x, np.ndarray | np.generic) for x in arrays):
                return "refused", "sequences and optional values are no tensors"
            inputs = {v.name: np.asarray(x) for v, x in zip(model.graph.input, arrays, strict=False)}
            if constants and len(inputs) > 1:
                model, inputs = with_constants(model, inputs)
            path.write_bytes(model.SerializeToString())
            try:
                results = run(path, inputs)
            except NncError as error:
                kind, reason = "refused", re.sub(r"^[^ ]*\.onnx: (node '[^']*' \(\w+\): )?", "", str(error))
                break
            except Exception as error:
                return "failed", f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            wanted = [numpy_helper.to_array(y) if isinstance(y, onnx.TensorProto) else y for y in data[1]]
            wrong = next((w for f, y in zip(results, wanted, strict=False) if (w := differs(f, y, case.rtol, case.atol))), "")
            if wrong:
                return "failed", wrong
        else:
            return ("with constants" if constants else "as it is"), ""
    return kind, reason


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        cases = [c for c in load_model_tests(kind="node") if options.only in c.name and "_expanded" not in c.name]
        results: dict[str, tuple[str, str, str]] = {}
        with tempfile.TemporaryDirectory() as folder:
            for number, case in enumerate(cases):
                operator = case.model.graph.node[0].op_type if case.model.graph.node else "?"
                results[case.name] = (operator, *outcome(case, by_package if options.packages else by_oracle, pathlib.Path(folder) / "model.onnx"))
                print(f"\r{number + 1}/{len(cases)} {case.name[:60]:60}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    report(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    if options.write:
        DOCUMENT.write_text(document(results, options.packages))
    return 0


def summary(results: dict[str, tuple[str, str, str]]) -> str:
    """How many tests pass, are refused and fail."""
    counts = collections.Counter(kind for _, kind, _ in results.values())
    passed = counts["as it is"] + counts["with constants"]
    return (f"{len(results)} node tests: {passed} pass ({counts['with constants']} of them with constant parameters), "
            f"{counts['refused']} are refused, {counts['failed']} fail")


def document(results: dict[str, tuple[str, str, str]], packages: bool) -> str:
    """The page: a row per operator, its tests that do not pass grouped by reason."""
    how, flag = ("compiled packages on `x86_cpu`", " --packages") if packages else ("the integer graph, run by the NumPy oracle", "")
    text = HEAD.format(how=how, command=f"python benchmarks/onnx_node_tests.py{flag} --write", counts=summary(results) + ".")
    by_operator: dict[str, list[tuple[str, str, str]]] = collections.defaultdict(list)
    for name, (operator, kind, reason) in results.items():
        by_operator[operator].append((name.removeprefix("test_"), kind, reason))
    for operator, tests in sorted(by_operator.items()):
        reasons: dict[str, list[str]] = collections.defaultdict(list)
        for name, kind, reason in tests:
            if kind in ("refused", "failed"):
                reasons[re.sub(r"/\S+\.cc:\d+: ", "", reason)[:160].replace("|", "/")].append(name)
        cannot = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
        text += f"| {operator} | {len(tests) - sum(map(len, reasons.values()))} of {len(tests)} | {cannot} |\n"
    return text


def report(results: dict[str, tuple[str, str, str]]) -> None:
    """Counts, then failures one by one, then what is refused by reason."""
    print(summary(results))
    for name, (operator, kind, reason) in results.items():
        if kind == "failed":
            print(f"  FAIL {name} ({operator}): {reason[:200]}")
    reasons = collections.defaultdict(set)
    for operator, kind, reason in results.values():
        if kind == "refused":
            reasons[re.sub(r"'[^']*'|\d+", "*", reason)[:110]].add(operator)
    for reason, operators in sorted(reasons.items(), key=lambda item: -len(item[1])):
        print(f"  refused {reason}: {', '.join(sorted(operators))}")


if __name__ == "__main__":
    sys.exit(main())
