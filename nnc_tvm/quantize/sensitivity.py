"""How much each contraction loses by int8, measured; the worst may stay float.

Every contraction is computed twice on the samples, in float and on integers, both from the float network's own values: what is seen is
the layer's own loss, not what it inherits.
"""

from __future__ import annotations

import math
import pathlib
import tempfile
from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.frontend.model import SourceModel
from nnc_tvm.quantize.calibrate import Tick
from nnc_tvm.quantize.host import HostProgram
from nnc_tvm.quantize.insert_qdq import InsertQdq
from nnc_tvm.quantize.options import QuantizeOptions
from nnc_tvm.quantize.samples import Samples
from nnc_tvm.relay_passes.graph import Graph, Rebuilder, substitute
from nnc_tvm.relay_passes.qdq import dequantize, quantize

Expr = Any


def side_by_side(module: tvm.IRModule, state: InsertQdq) -> tvm.IRModule:
    """`module` with two results for every contraction that `state` quantizes, in order: its pattern's output in float, and from integers."""
    plan = state.plan
    builder = relax.BlockBuilder()
    graph = Graph(module["main"])
    results: list[Expr] = []
    with builder.function("main", list(graph.function.params)):
        with builder.dataflow():
            r = Rebuilder(graph, builder)
            for variable, value in graph.definitions.items():
                if isinstance(value, relax.Tuple):
                    continue
                r.values[variable] = r.emit(substitute(value, r.values), variable.name)
                if plan.core(variable) in state.weights and variable not in plan.absorbed:
                    results += [r.values[variable], on_integers(r, state, variable)]
            output = builder.emit_output(relax.Tuple(results))
        builder.emit_func_output(output)
    return relax.transform.DeadCodeElimination(["main"])(builder.finalize())


def on_integers(r: Rebuilder, state: InsertQdq, end: Expr) -> Expr:
    """The pattern that ends at `end`, between quantizes of its own."""
    plan = state.plan
    variable = plan.core(end)
    source = plan.call(variable).args[0]
    q = state.activations[plan.moved_from(source)]
    copies = {source: r.emit(dequantize(r.emit(quantize(r.values.get(source, source), q)), q))}
    while True:
        expr = r.builder.normalize(substitute(plan.call(variable), {**r.values, **copies}))
        copies[variable] = r.emit(state.rewritten(r, variable, expr))
        if variable not in plan.absorbed:
            return state.rounded(r, variable, copies[variable])
        variable = plan.absorbed[variable]


def measure(source: SourceModel, module: tvm.IRModule, state: InsertQdq, samples: Samples, tick: Tick) -> dict[Expr, float]:
    """Signal to quantization noise in decibels of every contraction, by its variable; infinite where it loses nothing."""
    layers = [v for v in state.weights]
    energy = np.zeros((len(layers), 2))
    with tempfile.TemporaryDirectory(prefix="nnc-tvm-sensitivity-") as temporary:
        program = HostProgram(source, side_by_side(module, state), pathlib.Path(temporary))
        done = 0
        for count, tensors in program.run(samples):
            for k in range(len(layers)):
                wanted, got = (t.astype(np.float64) for t in tensors[2 * k:2 * k + 2])
                energy[k] += np.square(wanted).sum(), np.square(got - wanted).sum()
            done += count
            tick(done, samples.count)
    return {layer: 10 * math.log10(signal / noise) if signal and noise else math.inf for layer, (signal, noise) in zip(layers, energy, strict=True)}


def layers_to_keep(sqnr: dict[Expr, float], options: QuantizeOptions) -> dict[Expr, str]:
    """The contractions that stay float, and why: the `keep_float` with the lowest SQNR, and all below `min_sqnr`."""
    kept = {layer: f"below the floor of {options.min_sqnr:g}" for layer, value in sqnr.items() if value < options.min_sqnr}
    for rank, layer in enumerate(sorted(sqnr, key=lambda layer: sqnr[layer])[: options.keep_float]):
        kept.setdefault(layer, f"number {rank + 1} of those that lose most")
    return kept
