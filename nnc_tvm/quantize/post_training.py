"""quantize(): prepare -> plan -> calibrate -> scales -> QDQ. The map of this folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from nnc_tvm.frontend.model import SourceModel
from nnc_tvm.quantize.bias_correction import mean_error
from nnc_tvm.quantize.calibrate import Calibration, Tick, calibrate, warn_of_poor_data
from nnc_tvm.quantize.contraction import contraction_of
from nnc_tvm.quantize.grid import activation_grid, weight_integers, weight_scales
from nnc_tvm.quantize.insert_qdq import Weights, insert_qdq
from nnc_tvm.quantize.observers import OBSERVERS
from nnc_tvm.quantize.options import QuantizeOptions
from nnc_tvm.quantize.plan import Plan
from nnc_tvm.quantize.prepare import prepare
from nnc_tvm.quantize.samples import Sample, check_samples
from nnc_tvm.relay_passes.graph import constant
from nnc_tvm.schedules.quantization import QuantParams

Expr = Any
DEFAULTS = QuantizeOptions()


def quantize(source: SourceModel, samples: Iterable[Sample], options: QuantizeOptions = DEFAULTS,
             warn: Callable[[str], None] = lambda line: None, tick: Tick = lambda done, total: None) -> SourceModel:
    """The float model `source` as an INT8 model in QDQ form; its inputs and outputs stay float.

    samples: arrays by input name, of the inputs' own dtypes, like those that the model will see; one sample of an input's shape, or several
    along a leading axis. About 100 do. Activations get an int8 scale and zero point for each tensor, weights an int8 scale for each output
    channel, biases are int32.
    warn is told one line for each tensor whose samples look wrong; tick moves a progress bar.
    Raises InvalidInput for samples that cannot be used and for a model that is quantized already; Unsupported, MissingTool and ToolFailed
    as compiling the float model does.
    """
    checked = check_samples(samples, source.inputs, warn)
    module = prepare(source.module)
    plan = Plan(module)
    observed = [p.variable for p in plan.points.values() if p.shares is None and p.known is None]
    averaged = [plan.call(v).args[0] for v in plan.contractions()] if options.bias_correction else []
    calibration = calibrate(source, module, observed, averaged, checked, tick)
    warn_of_poor_data(calibration, warn)
    activations = activation_grids(plan, calibration, options)
    weights = {v: rounded_weights(plan, v, activations, calibration.means.get(plan.call(v).args[0])) for v in plan.contractions()}
    return dataclasses.replace(source, module=insert_qdq(module, plan, activations, weights))


def activation_grids(plan: Plan, calibration: Calibration, options: QuantizeOptions) -> dict[Expr, QuantParams]:
    """Scale and zero point of every point of the plan. Nothing is clipped where the largest values decide, whatever the observer."""
    grids: dict[Expr, QuantParams] = {}

    def grid(variable: Expr) -> QuantParams:
        if variable not in grids:
            point = plan.points[variable]
            if point.shares is not None:
                grids[variable] = grid(point.shares)
            else:
                observer = OBSERVERS["min-max" if plan.decides(variable) else options.observer]
                grids[variable] = activation_grid(*(point.known or observer(calibration.histograms[variable])))
        return grids[variable]

    return {variable: grid(variable) for variable in plan.points}


def rounded_weights(plan: Plan, variable: Expr, activations: dict[Expr, QuantParams], mean_input: np.ndarray | None) -> Weights:
    """The integers of the contraction bound to `variable`; its bias is corrected where the mean of its input is given."""
    contraction = contraction_of(plan.call(variable))
    assert contraction is not None
    input_scale, _ = activations[plan.moved_from(contraction.call.args[0])].scalar()
    bias = np.zeros(contraction.channels)
    if variable in plan.absorbed:
        for argument in getattr(plan.call(plan.absorbed[variable]), "args", ()):
            value = constant(argument)
            vector = None if value is None else contraction.channel_vector(value)
            bias = bias if vector is None else vector
    scale = weight_scales(contraction.weight, contraction.out_axis, bias, input_scale)
    integers = weight_integers(contraction.weight, contraction.out_axis, scale)
    if mean_input is not None:
        bias = bias - mean_error(contraction, integers * contraction.along_outputs(scale), mean_input)
    unit = np.float32(input_scale) * scale
    return Weights(integers, scale, np.rint(bias / unit.astype(np.float64)).astype(np.int32), unit)
