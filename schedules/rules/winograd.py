"""Winograd convolutions: on int16, exact, where the weights prove it, and on floats. Weights come transformed where the package may grow.

A strided convolution is one of stride 1 on the image's phases: x[i*s + a, j*s + b, c] is pixel (i, j) of channel (a, b, c), and the kernel
is cut likewise. A 7x7 kernel of stride 2 on 3 channels so becomes a 4x4 kernel on 12.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nnc_tvm.schedules.candidates import Candidate
from nnc_tvm.schedules.epilogue import epilogue_constants
from nnc_tvm.schedules.isa import DotProduct, Tile
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.operators import Conv2d, Operator, TensorType
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.parallel import BALANCED, share
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.contraction import contraction_of, instructions_for
from nnc_tvm.schedules.rules.contraction_plan import COPY_COST, TURN_COST, Contraction, store_width
from nnc_tvm.schedules.rules.input_patches import padded_copy, split_phases
from nnc_tvm.schedules.rules.residual import final_stage
from nnc_tvm.schedules.rules.winograd_forms import F2, F3, F4, WinogradForm
from nnc_tvm.schedules.rules.winograd_kernel import winograd_kernel
from nnc_tvm.schedules.rules.winograd_plan import WinogradPlan, image_layout
from nnc_tvm.schedules.rules.winograd_tiles import fitting_tiles, whole_tiles

FORMS = (F4, F3, F2)
TOGETHER = 1.6  # what several threads get from memory at once, over what one gets
TRANSFORM_COST = 7.0  # estimated instructions per vector of U that the kernel makes: it is written and read again
STORE_COST = 3.5  # more of them for each further STORE bytes of such a vector
STORE = 32
ROW_COST = 25.0  # estimated instructions per row of points of such a vector, where they are used at once
V_COST = 0.1  # estimated instructions per byte of a V that is beyond the second cache, which every block of channels reads again
NEAR_COST = 0.05  # of them where V is in the second cache, as far as the products leave time for nothing but loads
WEIGHT_COST = 0.1  # estimated instructions per byte of weights, which every block of tiles reads again


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
    plans = [plan for form in forms for isa in wide for plan in plans_of(c, form, isa, target)]
    if target.optimize != "speed":  # neither weights nor scratch may grow much
        held = sum(t.bytes for t in (*operator.inputs, operator.output))
        plans = [plan for plan in plans if plan.chunk and sum(t.bytes for t in scratch_of(plan)) <= held // 2]
    if not plans:
        return None
    # floats depend on the form, which is therefore that of one thread
    alone = replace(target, threads=1) if c.x_dtype == "float32" else target
    fastest = min(plans, key=lambda plan: plan_cost(c, plan, alone))
    same = [plan for plan in plans if plan.form is fastest.form and (c.x_dtype != "float32" or plan.fits == fastest.fits)]
    best = min(same, key=lambda plan: plan_cost(c, plan, target))

    def build(choose: Choose) -> tuple[Stage, ...]:
        return make_stages(operator, direct, c, same[choose("winograd_plan", list(range(len(same))), same.index(best))])

    return Candidate("winograd", plan_cost(c, fastest, alone), weight_bytes(c, best), build)


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


def plans_of(c: Contraction, form: WinogradForm, isa: DotProduct, target: Any) -> list[WinogradPlan]:
    """Every register tile of the instruction, with the blocks of tiles whose scratch fills at most half of the second cache: weights pass through it.

    Weights come transformed where they may grow, and as they are: then a chunk of them is transformed at a time, and of V the part that meets it has to
    fit, or, where what stands beside the products takes little time, every vector on its way.
    """
    channels = c.image[3]
    lanes = max(isa.lanes * isa.depth, target.vector_bytes // ITEM_BYTES[isa.x_dtype])
    item, depth = ITEM_BYTES[isa.x_dtype], round_up(channels, isa.depth)
    ahead = target.prefetch_bytes if item * form.points**2 * channels * c.out[3] > target.l2_bytes else 0
    steps = next(s for s in isa.steps if depth // isa.depth % s == 0)
    whole, fitting = whole_tiles(c, form), fitting_tiles(c, form)
    tiles = whole[0].count
    plain = [WinogradPlan(form, whole, isa, Tile(pixels, vectors, steps, depth), group, lanes, depth, ahead)
             for vectors in isa.tiles for pixels in range(1, isa.tiles[vectors] + 1) for group in groups(tiles, pixels)]
    edged = [replace(plan, kinds=fitting) for plan in plain if plan.group >= tiles]
    plans = []
    for plan in [*plain, *(plan for plan in edged if plan.fits)]:
        pixels, vectors = plan.tile.pixels, plan.tile.vectors
        made = [plan, replace(plan, chunk=chunk_of(plan, target.l2_bytes * 3 // 8))]
        if vectors == 1 and isa.beside < 1 and pixels * form.points <= isa.accumulators and (not plan.fits or plan.group == pixels):
            from_afar = form.taps**2 * channels * c.out[3] > target.l2_bytes // 4
            made.append(replace(plan, ahead=target.prefetch_bytes * from_afar, chunk=plan.steps, in_registers=True))
        v, m = plan.scratch
        for each in made:
            part = item * v * (each.chunk or plan.steps) // plan.steps
            if (plan.group == pixels and not plan.fits) or part + 4 * m <= target.l2_bytes // 2:
                plans.append(each)
    return plans


def chunk_of(plan: WinogradPlan, most: int) -> int:
    """The most steps that the chunks of a reduction can have whose U fills at most so many bytes; at least those of a turn."""
    a_step = plan.form.points**2 * math.prod(plan.step_shape) * ITEM_BYTES[plan.isa.w_dtype]
    turns = plan.steps // plan.tile.steps
    return plan.tile.steps * max(n for n in range(1, turns + 1) if turns % n == 0 and (n == 1 or n * plan.tile.steps * a_step <= most))


def groups(tiles: int, pixels: int) -> Sequence[int]:
    """Sizes of equal blocks, in Winograd tiles: whole register tiles, the fewest that make each count of blocks."""
    whole = math.ceil(tiles / pixels)
    return sorted({math.ceil(whole / blocks) * pixels for blocks in range(1, whole + 1)})


def plan_cost(c: Contraction, plan: WinogradPlan, target: Any) -> float:
    """Estimated instructions of all threads, in the unit of `contraction_plan.tile_cost`."""
    isa, tile, form = plan.isa, plan.tile, plan.form
    blocks = 1 if plan.fits else math.ceil(plan.tiles / plan.group)
    channel_blocks = math.ceil(c.out[3] / plan.block)
    chunks = plan.steps // plan.chunk if plan.chunk else 1
    beside = ROW_COST / form.points * isa.beside * tile.steps if plan.in_registers else 0.0

    def product_cost(pixels: int) -> float:
        """Of a register tile and all steps."""
        multiply, load_x, load_w = isa.cost
        accumulators = pixels * tile.vectors
        load = 0.0 if isa.reads and tile.vectors == 1 else load_x if tile.steps > 1 or len(isa.steps) == 1 else 1.0
        loads = pixels * load + tile.vectors * load_w
        turn = (accumulators * multiply + loads) * tile.steps + TURN_COST * isa.beside + beside
        return plan.steps // tile.steps * turn + chunks * ((2 if chunks == 1 else 3) * accumulators + isa.a_tile)

    sizes = [(zone.points * math.ceil(zone.tiles / plan.pixels(zone)), plan.pixels(zone)) for zone in plan.zones]
    product = blocks * channel_blocks * sum(count * product_cost(pixels) for count, pixels in sizes)
    into = sum(kind.count * kind.points for kind in plan.kinds) * math.ceil(c.image[3] / plan.lanes) * 6.5
    per_output = 3 + isa.stores[store_width(c, plan.block)]
    vectors = sum(kind.count * (kind.points * 4.0 + kind.down.m * kind.across.m * per_output) for kind in plan.kinds)
    out = channel_blocks * (tile.vectors * vectors + 2 * isa.a_tile * plan.tiles)
    weights = weights_cost(c, plan, blocks, target)
    rows, row = image_layout(c, plan)
    # parts share the blocks of tiles, or those of channels: then each transforms all tiles
    threads, by_tiles, by_channels = target.threads, share(blocks, target.threads), share(channel_blocks, target.threads)
    size = plan.scratch[0] * ITEM_BYTES[isa.x_dtype]
    again = blocks * channel_blocks * size * (V_COST if size > target.l2_bytes // 2 else NEAR_COST * (1 - isa.beside))
    shared = product + out + weights + again
    computed = (shared + into) / by_tiles if by_tiles >= min(BALANCED, by_channels) else shared / by_channels + into * threads
    return computed + c.out[0] * rows * row * COPY_COST


def weights_cost(c: Contraction, plan: WinogradPlan, blocks: int, target: Any) -> float:
    """Reading the weights for every block of tiles, and transforming those that do not come so."""
    size = weight_bytes(c, plan)
    again = size * WEIGHT_COST * plan.isa.beside
    first = size * target.stream_cost * max(1.0, target.threads / TOGETHER) if size > target.stream_bytes else again
    read = first + (blocks - 1) * again
    if not plan.u_shape:
        return read
    elements = math.prod(plan.step_shape)
    vectors = math.ceil(c.out[3] / plan.block) * plan.steps * elements // math.gcd(elements, plan.lanes)
    stores = math.ceil(plan.lanes * ITEM_BYTES[plan.isa.w_dtype] / STORE)
    return read + blocks * vectors * (plan.form.taps**2 + (TRANSFORM_COST + STORE_COST * (stores - 1)) * plan.form.points**2)


def weight_bytes(c: Contraction, plan: WinogradPlan) -> int:
    """Of the packed weights."""
    return math.prod(plan.packed_shape(c.out[3])) * ITEM_BYTES[raw_dtype(c) if plan.chunk else plan.isa.w_dtype]


def make_stages(operator: Conv2d, direct: Contraction, c: Contraction, plan: WinogradPlan) -> tuple[Stage, ...]:
    """The padded image, its phases where `direct` has strides, and the kernel."""
    made = prepare_image(direct, c, *image_layout(c, plan), c.x_dtype)
    padding = round_up(c.out[3], plan.block) - c.out[3]
    constants = [np.pad(values, (0, padding)) for values in (c.bias, *(values for _, values in epilogue_constants(c.epilogue, c.out[3])))]
    packed = pack_weights(c, plan)
    function = winograd_kernel(c, plan, constants[1:], str(packed.dtype), operator.output.dtype)
    return (*made, final_stage(c, function, -len(made), (packed, *constants), operator.output, plan.name, scratch_of(plan)))


def scratch_of(plan: WinogradPlan) -> tuple[TensorType, ...]:
    """V, M, and U where the kernel makes it."""
    (v, m), isa = plan.scratch, plan.isa
    return (TensorType((v,), isa.x_dtype), TensorType((m,), isa.acc_dtype), *((TensorType(plan.u_shape, isa.w_dtype),) if plan.u_shape else ()))


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
    dtype = raw_dtype(c) if plan.chunk else plan.isa.w_dtype
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


def raw_dtype(c: Contraction) -> str:
    """Of the weights before they are transformed."""
    if c.weight.dtype == np.float32:
        return "float32"
    return "int8" if c.weight.min(initial=0) >= -128 and c.weight.max(initial=0) < 128 else "int16"
