"""Winograd convolutions: on int16, exact, where the weights prove it, and on floats. Weights come transformed where the package may grow.

A strided convolution is one of stride 1 on the image's phases: x[i*s + a, j*s + b, c] is pixel (i, j) of channel (a, b, c), and the kernel
is cut likewise. A 7x7 kernel of stride 2 on 3 channels so becomes a 4x4 kernel on 12.
"""

from __future__ import annotations

import math
from dataclasses import replace
from operator import itemgetter
from typing import Any

import numpy as np

from nnc_tvm.schedules.candidates import Candidate
from nnc_tvm.schedules.epilogue import epilogue_constants
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.operators import Conv2d, Operator, TensorType
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.contraction import contraction_of, instructions_for
from nnc_tvm.schedules.rules.contraction_plan import Contraction
from nnc_tvm.schedules.rules.input_patches import padded_copy, split_phases
from nnc_tvm.schedules.rules.residual import final_stage
from nnc_tvm.schedules.rules.winograd_forms import F2, F3, F4, WinogradForm
from nnc_tvm.schedules.rules.winograd_kernel import winograd_kernel
from nnc_tvm.schedules.rules.winograd_plan import WinogradPlan, image_layout
from nnc_tvm.schedules.rules.winograd_search import Size, costed_plans, raw_dtype, weight_bytes

FORMS = (F4, F3, F2)


def candidate(operator: Operator, target: Any) -> Candidate | None:
    """Conv2d of kernels that a form takes."""
    if not isinstance(operator, Conv2d) or target.optimize == "size":
        return None
    direct = contraction_of(operator)
    if direct is None or direct.dilation != (1, 1) or direct.groups != 1:
        return None
    c = phases(direct)
    if c.image[3] == 1:  # no vector
        return None
    forms = [form for form in FORMS if c.weight.shape[1:3] == (form.taps, form.taps) and form.is_exact(c.weight)]
    wide = [isa for isa in instructions_for(c, target.features) if isa.x_dtype == isa.w_dtype in ("int16", "float32")]
    size, held = Size.of(c), sum(t.bytes for t in (*operator.inputs, operator.output))

    def costed(which: Any) -> list[tuple[float, WinogradPlan]]:
        """The plans and what they take on the target `which`."""
        made = [each for form in forms for isa in wide for each in costed_plans(size, form, isa, which)]
        if target.optimize == "speed":
            return made
        # neither weights nor scratch may grow much
        return [(cost, plan) for cost, plan in made if plan.chunk and sum(t.bytes for t in plan.scratch_tensors) <= held // 2]

    # floats depend on the form, which is therefore that of one thread
    cost, fastest = min(costed(replace(target, threads=1) if c.x_dtype == "float32" else target), key=itemgetter(0), default=(0.0, None))
    if fastest is None:
        return None
    same = [each for each in costed(target) if each[1].form is fastest.form and (c.x_dtype != "float32" or each[1].fits == fastest.fits)]
    plans = [plan for _, plan in same]
    best = min(range(len(same)), key=lambda k: same[k][0])

    def build(choose: Choose) -> tuple[Stage, ...]:
        return make_stages(operator, direct, c, plans[choose("winograd_plan", list(range(len(plans))), best)])

    return Candidate("winograd", cost, weight_bytes(size, plans[best]), build)


def phases(c: Contraction) -> Contraction:
    """`c` with stride 1, on the phases of its padded image."""
    if c.strides == (1, 1):
        return c
    (n, _, _, channels), (sh, sw), (out, kh, kw, _) = c.image, c.strides, c.weight.shape
    down, across = math.ceil(kh / sh), math.ceil(kw / sw)
    full = np.zeros((out, down * sh, across * sw, channels), c.weight.dtype)
    full[:, :kh, :kw] = c.weight
    weight = full.reshape(out, down, sh, across, sw, channels).transpose(0, 1, 3, 2, 4, 5).reshape(out, down, across, sh * sw * channels)
    image = (n, c.out[1] + down - 1, c.out[2] + across - 1, sh * sw * channels)
    return replace(c, image=image, weight=weight, strides=(1, 1), padding=(0, 0, 0, 0))


def make_stages(operator: Conv2d, direct: Contraction, c: Contraction, plan: WinogradPlan) -> tuple[Stage, ...]:
    """The padded image, its phases where `direct` has strides, and the kernel."""
    made = prepare_image(direct, c, *image_layout(c.image[3], plan), c.x_dtype)
    padding = round_up(c.out[3], plan.block) - c.out[3]
    constants = [np.pad(values, (0, padding)) for values in (c.bias, *(values for _, values in epilogue_constants(c.epilogue, c.out[3])))]
    packed = pack_weights(c, plan)
    function = winograd_kernel(c, plan, constants[1:], str(packed.dtype), operator.output.dtype)
    return (*made, final_stage(c, function, -len(made), (packed, *constants), operator.output, plan.name, plan.scratch_tensors))


def prepare_image(direct: Contraction, c: Contraction, rows: int, row: int, dtype: str) -> tuple[Stage, ...]:
    """The stages that make images of `rows` by `row` elements of `dtype` for `c`, the phases of `direct`: padded, and apart where there are strides."""
    made: list[Stage] = []

    def add(function: Any, elements: int, kernel: str) -> None:
        made.append(Stage(function, (-len(made),), (), TensorType((elements,), dtype), kernel))

    (n, h, w, channels), (sh, sw) = direct.image, direct.strides
    padded = rows * sh, row // c.image[3] * sw * channels
    if padded != (h, w * channels) or any(direct.padding) or dtype != c.x_dtype:
        top, left = direct.padding[0], direct.padding[1] * channels
        add(padded_copy((n, h, w * channels), padded, top, left, c.border, n * math.prod(padded), (c.x_dtype, dtype)), n * math.prod(padded), "pad")
    if direct is not c:
        add(split_phases((n * rows, sh, row // c.image[3], sw * channels), dtype), n * rows * row, "phases")
    return tuple(made)


def pack_weights(c: Contraction, plan: WinogradPlan) -> np.ndarray:
    """`WinogradPlan.packed_shape`: U, or what the kernel makes it of, integers as bytes where they fit, floats divided by what the form multiplies."""
    form, (vectors, outer, lanes, inner) = plan.form, plan.step_shape
    whole = raw_weights(c, form) if plan.chunk else form.transform_weights(c.weight)[:, [r * form.points + s for r, s in plan.numbers]]
    dtype = raw_dtype(c.weight) if plan.chunk else plan.isa.w_dtype
    blocks = math.ceil(c.out[3] / plan.block)
    full = np.zeros((blocks * plan.block, whole.shape[1], plan.depth), dtype)
    full[: c.out[3], :, : c.image[3]] = whole
    cut = full.reshape(blocks, vectors, lanes, whole.shape[1], plan.steps, outer, inner)
    order = (0, 4, 3, 1, 5, 2, 6) if plan.chunk else (0, 3, 4, 1, 5, 2, 6)
    return np.ascontiguousarray(cut.transpose(order)).reshape(plan.packed_shape(c.out[3]))


def raw_weights(c: Contraction, form: WinogradForm) -> np.ndarray:
    """(O, taps * taps, C)."""
    flat = c.weight.reshape(c.out[3], form.taps**2, -1)
    return flat / np.float32(form.scale**2) if flat.dtype == np.float32 else flat
