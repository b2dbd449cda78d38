"""quantize(): prepare -> plan -> calibrate -> scales -> QDQ. The map of this folder."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from nnc_tvm.frontend.model import SourceModel
from nnc_tvm.quantize.adaptive_rounding import LARGEST_DEPTH, Patches, adaptive_integers
from nnc_tvm.quantize.bias_correction import mean_error
from nnc_tvm.quantize.calibrate import Collector, Mean, Tick, calibrate, check_values
from nnc_tvm.quantize.contraction import contraction_of
from nnc_tvm.quantize.equalize import equalize
from nnc_tvm.quantize.grid import LARGEST_WEIGHTS, activation_grid, clipped_scales, weight_integers, weight_scales
from nnc_tvm.quantize.histogram import Histogram
from nnc_tvm.quantize.insert_qdq import InsertQdq, Weights, insert_qdq
from nnc_tvm.quantize.observers import OBSERVERS
from nnc_tvm.quantize.options import QuantizeOptions
from nnc_tvm.quantize.plan import Plan
from nnc_tvm.quantize.prepare import prepare
from nnc_tvm.quantize.samples import Sample, check_samples
from nnc_tvm.quantize.sensitivity import layers_to_keep, measure
from nnc_tvm.quantize.smooth import smooth
from nnc_tvm.relay_passes.graph import constant
from nnc_tvm.schedules.quantization import QuantParams

Expr = Any
Say = Callable[[str], None]
DEFAULTS = QuantizeOptions()
SMALL = 0.5  # the weights of an attention that never exceed it get finer steps than those of a softmax that may reach 1


def silent(line: str) -> None:
    """Says nothing."""


def still(done: int, total: int) -> None:
    """No progress bar."""


def quantize(source: SourceModel, samples: Iterable[Sample], options: QuantizeOptions = DEFAULTS, warn: Say = silent, tick: Tick = still,
             say: Say = silent) -> SourceModel:
    """The float model `source` in QDQ form, activations in INT8; its inputs and outputs stay float.

    samples: arrays by input name, of the inputs' own dtypes, like those that the model will see; one sample of an input's shape, or several
    along a leading axis. About 100 do. Activations get an int8 scale and zero point for each tensor, weights one scale for each output
    channel, on integers of `options.weights`, biases are int32.
    warn is told one line for each tensor whose samples look wrong, say what is worth knowing; tick moves a progress bar.
    Raises InvalidInput for samples that cannot be used and for a model that is quantized already; Unsupported, MissingTool and ToolFailed
    as compiling the float model does.
    """
    checked = check_samples(samples, source.inputs, warn)
    module = prepare(source.module)
    if options.equalize:
        module = equalize(module)
    if options.smooth is not None:
        module = smooth(source, module, options.smooth, checked, tick)
    plan = Plan(module)
    seen = Seen(plan, options)
    calibrate(source, module, seen.collectors(), checked, tick)
    check_values({v: h for v, h in seen.histograms.items() if plan.points[v].known is None}, warn)
    state = quantization(plan, seen, options)
    notes: dict[str, str] = {}
    if options.keep_float or options.min_sqnr > -math.inf:
        sqnr = measure(source, module, state, checked, tick)
        kept = layers_to_keep(sqnr, options)
        for variable, why in kept.items():
            loss = f"{sqnr[variable]:.1f} dB on integers, {why}"
            notes |= dict.fromkeys(plan.names(variable), f"kept float: {loss}")
            say(f"kept float: '{plan.names(variable)[-1]}', {loss}")
        state = quantization(Plan(module, kept), seen, options)
    return dataclasses.replace(source, module=insert_qdq(module, state), notes=notes)


class Seen:
    """What the calibration collects. histograms: of the points that have a range of their own. means: of the contractions' inputs.
    patches: by contraction, where weights are rounded adaptively."""

    def __init__(self, plan: Plan, options: QuantizeOptions) -> None:
        self.plan = plan
        self.histograms = {p.variable: Histogram() for p in plan.points.values() if p.shares is None and (p.known is None or p.observed)}
        self.means = {plan.call(v).args[0]: Mean() for v in plan.contractions()} if options.bias_correction else {}
        found = {v: contraction for v in plan.contractions() if (contraction := contraction_of(plan.call(v)))}
        self.patches = {v: Patches(c) for v, c in found.items() if c.depth <= LARGEST_DEPTH} if options.adaptive else {}

    def collectors(self) -> dict[Expr, list[Collector]]:
        """Everybody who wants to see a variable's values."""
        found: dict[Expr, list[Collector]] = {}
        pairs: list[tuple[Expr, Collector]] = [*self.histograms.items(), *self.means.items()]
        pairs += [(self.plan.call(v).args[0], patches) for v, patches in self.patches.items()]
        for variable, collector in pairs:
            found.setdefault(variable, []).append(collector)
        return found


def quantization(plan: Plan, seen: Seen, options: QuantizeOptions) -> InsertQdq:
    """Scales and integers for everything that the plan rounds."""
    activations = activation_grids(plan, seen.histograms, options)
    return InsertQdq(plan, activations, {v: rounded_weights(plan, v, activations, seen, options) for v in plan.contractions()})


def activation_grids(plan: Plan, histograms: Mapping[Expr, Histogram], options: QuantizeOptions) -> dict[Expr, QuantParams]:
    """Scale and zero point of every point of the plan. Nothing is clipped where the largest values decide, whatever the observer."""
    grids: dict[Expr, QuantParams] = {}

    def grid(variable: Expr) -> QuantParams:
        if variable not in grids:
            point = plan.points[variable]
            if point.shares is not None:
                grids[variable] = grid(point.shares)
            else:
                observer = OBSERVERS["min-max" if plan.decides(variable) or point.observed else options.observer]
                known = None if point.observed and histograms[variable].high < SMALL else point.known
                grids[variable] = activation_grid(*(known or observer(histograms[variable])))
        return grids[variable]

    return {variable: grid(variable) for variable in plan.points}


def rounded_weights(plan: Plan, variable: Expr, activations: dict[Expr, QuantParams], seen: Seen, options: QuantizeOptions) -> Weights:
    """The integers of the contraction bound to `variable`; its bias is corrected where the mean of its input was seen."""
    contraction = contraction_of(plan.call(variable))
    assert contraction is not None
    input_scale, _ = activations[plan.moved_from(contraction.call.args[0])].scalar()
    bias = np.zeros(contraction.channels)
    if variable in plan.absorbed:
        for argument in getattr(plan.call(plan.absorbed[variable]), "args", ()):
            value = constant(argument)
            vector = None if value is None else contraction.channel_vector(value)
            bias = bias if vector is None else vector
    largest, patches = LARGEST_WEIGHTS[options.weights], seen.patches.get(variable)
    scale = weight_scales(contraction.weight, contraction.out_axis, bias, input_scale, largest)
    if patches is not None:  # other weights make up for the large steps; they would have to make up for what is clipped, too
        integers = adaptive_integers(contraction, scale, patches, largest)
    else:
        scale = clipped_scales(contraction.weight, contraction.out_axis, scale, largest) if options.weights == "int4" else scale
        integers = weight_integers(contraction.weight, contraction.out_axis, scale, largest)
    mean = seen.means.get(contraction.call.args[0])
    if mean is not None:
        bias = bias - mean_error(contraction, integers * contraction.along_outputs(scale), mean.value)
    unit = np.float32(input_scale) * scale
    return Weights(integers, scale, np.rint(bias / unit.astype(np.float64)).astype(np.int32), unit)
