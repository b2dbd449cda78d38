"""Row-chasing: what the device takes is safe, byte for byte, and the compiler's distances are the smallest that it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from nnc_tvm.package.arena import place
from nnc_tvm.reference import evaluate
from nnc_tvm.schedules.operators import Conv2d, DepthwiseConv2d, TensorType
from nnc_tvm.targets.npu import codegen
from nnc_tvm.targets.npu.chasing import distance
from nnc_tvm.targets.npu.codegen import Network, for_plan
from nnc_tvm.targets.npu.commands import encode
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.nodes import DoesNotFit, Node
from nnc_tvm.targets.npu.operands import Image
from nnc_tvm.targets.npu.plan import Planner
from nnc_tvm.targets.npu.segments import Segment
from nnc_tvm.targets.npu.selection import best_network, network_of, planner_of
from nnc_tvm.targets.npu.stripes import Step, cascade, divisible, end_distance
from nnc_tvm.targets.npu.windowed import Conv, Pool
from nnc_tvm.targets.npu.windows import windows
from tests.kernels.cases import random_generator, random_requantize
from tests.npu.cases import KINDS, addresses, padding_of, read_image, write_image
from tests.npu.chains import random_chain
from tests.npu.device import run
from tests.npu.test_codegen import execute


def accesses(job: Conv | Pool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What is read and then written, in the order of the device: rows of the input of each pass, whole, and the elements of the output."""
    tiles = [range(at, min(at + job.tile_rows, job.output.height)) for at in range(0, job.output.height, job.tile_rows)]
    chunks = [slice(at, at + job.chunk) for at in range(0, job.output.channels, job.chunk)]
    by_chunk, outer = isinstance(job, Pool) or job.depthwise, isinstance(job, Conv) and job.chunks_outer
    read, written = addresses(job.source), addresses(job.output)
    (kh, _), (sh, _), (top, _), (dh, _) = job.window.kernel, job.window.strides, job.window.padding, job.window.dilation
    order = tiles[::-1] if job.upward else tiles
    for tile, chunk in [(t, c) for c in chunks for t in order] if outer else [(t, c) for t in order for c in chunks]:
        rows = sorted({y * sh - top + i * dh for y in tile for i in range(kh)} & set(range(job.source.height)))
        seen = read[rows][..., chunk] if by_chunk else read[rows]
        again = by_chunk or job.slice or outer or chunk.start == 0  # otherwise the tile's input is still in its buffer
        yield (seen if again else seen[:0]).reshape(-1), written[tile.start:tile.stop, :, chunk].reshape(-1)


def safe(job: Conv | Pool) -> bool:
    """Whether nothing is read that the job has written."""
    dirty = np.zeros(max(addresses(image).max() for image in (job.source, job.output)) + 1, bool)
    for read, written in accesses(job):
        if dirty[read].any():
            return False
        dirty[written] = True
    return True


def apart(image: Image, base: int) -> Image:
    """Without wrap and with no gaps between its elements."""
    return Image.dense(base, image.height, image.width, image.channels, image.zero_point)


@pytest.mark.parametrize("kind", ["convolution", "pooling"])
def test_distances_are_safe_and_the_smallest(kind: str) -> None:
    rng, nearer = random_generator(), 0
    for number in range(120):
        case = KINDS[kind](rng)
        job = case.commands[-1]
        assert isinstance(job, Conv | Pool)
        if isinstance(job, Conv) and job.residual is not None:
            continue
        x = read_image(case.sram, job.source)
        room = job.source.elements + job.output.elements
        source = apart(job.source, case.sram.size + room)
        job = replace(job, source=source, output=apart(job.output, 0))
        below, above = distance(job)
        nearer += (below < job.output.elements) + (above < source.elements)
        outer, by_chunk = isinstance(job, Conv) and job.chunks_outer, isinstance(job, Pool) or job.depthwise or job.slice > 0
        # the device takes no overlap where chunks are outermost or input rows go back, and looks at whole rows where it takes chunks one by one
        loose = outer or job.window.dilation[0] > 1 or (by_chunk and job.chunk < job.output.channels)
        random = [(int(at), bool(rng.integers(2))) for at in rng.integers(-room, room, 3)]
        for at, upward in ((-below, False), (1 - below, False), (above, True), (above - 1, True), *random):
            placed = replace(job, output=replace(job.output, base=source.base + at), upward=upward)
            taken = at >= above if upward else at <= -below
            disjoint = at <= -job.output.elements or at >= source.elements
            in_place = isinstance(job, Conv) and job.depthwise and at == 0 and job.tile_rows >= job.output.height and placed.output.row == source.row
            sram = np.concatenate([case.sram, np.zeros(3 * room, np.uint8)])
            write_image(sram, source, x)
            reason, _ = run(encode([*case.commands[:-1], placed], Config(), sram.size, len(case.flash)), case.flash, sram)
            assert (reason == "OK") == (taken or disjoint or in_place), (number, reason, at, below, above, placed)
            if reason == "OK":
                assert safe(placed) and (read_image(sram, placed.output) == case.expected).all(), (number, at, below, above, placed)
            elif at == (above - 1 if upward else 1 - below) and not loose:
                assert not safe(placed), (number, at, below, above, placed)
    assert nearer > 25


def clobbered(nodes: Sequence[Node], steps: Sequence[Step], at: int) -> bool:
    """Whether a cascade reads a row of "x" of which the output, which begins `at` bytes from it, has covered something."""
    source, last = nodes[0].operator.inputs[0], nodes[-1].operator.output
    dirty = np.zeros(source.bytes + 2 * last.bytes, bool)
    value, output = (np.arange(kind.bytes).reshape(kind.shape[1], -1) + base for kind, base in ((source, last.bytes), (last, last.bytes + at)))
    for step in steps:
        node = nodes[step.node]
        for name, window in zip(node.inputs, windows(node.operator), strict=True):
            taps = {y * window.strides[0] - window.padding[0] + i * window.dilation[0] for y in range(*step.rows) for i in range(window.kernel[0])}
            if name == "x" and dirty[value[sorted(taps & set(range(source.shape[1])))]].any():
                return True
        if step.node == len(nodes) - 1:
            dirty[output[slice(*step.rows)]] = True
    return False


def test_cascades_write_over_what_no_stripe_reads_any_more() -> None:
    """Byte for byte, and at the smallest distance that does not clobber the value."""
    rng, nearer = random_generator(), 0
    for number in range(60):
        nodes = random_chain(rng, int(rng.integers(2, 6)), (4, 20))
        last = nodes[-1].operator.output
        if not all(divisible(node.operator) for node in nodes):
            continue
        found, source = cascade(nodes, int(rng.integers(1, last.shape[1] + 1)), bool(rng.integers(2))), nodes[0].operator.inputs[0]
        below, above = end_distance(nodes, found, "x")
        assert below == last.bytes if found.upward else above == source.bytes
        at, apart, further = (above, source.bytes, -1) if found.upward else (-below, -last.bytes, 1)
        nearer += at != apart
        assert not clobbered(nodes, found.steps, at), (number, at, found.upward, nodes)
        gaps = any(window.dilation[0] > 1 or window.kernel[0] < window.strides[0] for node in nodes for window in windows(node.operator))
        if at != apart and -last.bytes < at < source.bytes and not gaps and "x" not in nodes[-1].inputs:  # whose rows are read before they are written over
            assert clobbered(nodes, found.steps, at + further), (number, at, found.upward, nodes)
    assert nearer > 10


def conv(rng: np.random.Generator, source: TensorType, channels: int, kernel: int, stride: int) -> Conv2d:
    height, width, depth = source.shape[1:]
    output = TensorType((1, -(-height // stride), -(-width // stride), channels), "int8")
    padding = (kernel // 2,) * 2
    after = padding_of((height, width), (kernel,) * 2, (stride,) * 2, (1, 1), padding, output.shape[1:3])
    weight, bias = rng.integers(-127, 128, (channels, kernel, kernel, depth)).astype(np.int16), rng.integers(-500, 500, channels).astype(np.int32)
    return Conv2d((source,), output, weight, bias, random_requantize(rng, "fixed", channels, kernel * kernel * depth), 3, (stride,) * 2, after,
                  (1, 1))


def depthwise(rng: np.random.Generator, source: TensorType, kernel: int, stride: int) -> DepthwiseConv2d:
    like, channels = conv(rng, source, source.shape[3], kernel, stride), source.shape[3]
    weight = rng.integers(-127, 128, (kernel, kernel, channels)).astype(np.int16)
    return DepthwiseConv2d((source,), like.output, weight, like.bias, random_requantize(rng, "fixed", channels, kernel * kernel), 3, like.strides, like.padding,
                           (1, 1))


@pytest.mark.parametrize(("channels", "kernel", "stride"), [(40, 1, 1), (16, 3, 1), (24, 3, 1), (48, 3, 2), (8, 5, 1), (4, 1, 1)])
def test_a_layer_takes_little_more_than_its_larger_image(channels: int, kernel: int, stride: int) -> None:
    rng, image = random_generator(), TensorType((1, 32, 24, 16), "int8")
    layer = conv(rng, image, channels, kernel, stride)
    nodes, x = [Node("conv", layer, ("x",), "y")], rng.integers(-128, 128, image.shape).astype(np.int8)
    rows = (kernel + 1) * max(24 * 16, layer.output.bytes // layer.output.shape[1])
    size = max(image.bytes, layer.output.bytes) + rows + layer.weight.size + 10 * channels + 64

    def made(config: Config) -> Network:
        return network_of(planner_of(nodes, ("x",), ("y",), config), config, place)

    apart, network = made(Config(chases_rows=False)), made(Config(sram_bytes=size))
    assert apart.sram_bytes >= image.bytes + layer.output.bytes + layer.weight.size > size
    (y,), counters = execute(network, [x], [layer.output.shape])
    assert np.array_equal(y, evaluate(layer, x)) and counters["sram_peak"] <= size and counters["cycles"] == network.cycles
    with pytest.raises(DoesNotFit, match="layer 'conv' needs"):
        made(Config(sram_bytes=size, chases_rows=False))


def test_layers_follow_each_other_up_and_down() -> None:
    """Images shrink and grow in turn, none by halves small enough to be there beside the next: jobs of both directions, within the largest and some rows."""
    rng, kind, nodes = random_generator(), TensorType((1, 40, 16, 12), "int8"), []
    x = rng.integers(-128, 128, kind.shape).astype(np.int8)
    values = {"v0": x}
    for number, channels in enumerate((32, 10, 32, 14, 30, 12)):
        nodes.append(Node(f"layer{number}", conv(rng, kind, channels, 1, 1), (f"v{number}",), f"v{number + 1}"))
        kind = nodes[-1].operator.output
        values[nodes[-1].output] = evaluate(nodes[-1].operator, values[f"v{number}"])
    planner, most = Planner(nodes, ("v0",), ("v6",), Config()), max(value.size for value in values.values())
    network = for_plan(planner, [Segment(number, number + 1, most=2000) for number in range(6)], Config(sram_bytes=most + 2200), place)
    (y,), counters = execute(network, [x], [kind.shape])
    assert np.array_equal(y, values["v6"]) and counters["sram_peak"] <= most + 2200
    assert {job.upward for job in network.commands if isinstance(job, Conv)} == {False, True}


def test_cascades_turn_where_their_ends_would_be_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inverted residual blocks: were all outputs below their inputs, the second's would leave its rings no room but above itself."""
    rng, kind, nodes = random_generator(), TensorType((1, 160, 160, 3), "int8"), []
    layers = [(32, 3, 2), (0, 3, 1), (16, 1, 1), (96, 1, 1), (0, 3, 2), (24, 1, 1), (144, 1, 1), (0, 3, 1), (24, 1, 1), (144, 1, 1), (0, 3, 2), (32, 1, 1)]
    x = rng.integers(-128, 128, kind.shape).astype(np.int8)
    y = x
    for number, (channels, kernel, stride) in enumerate(layers):
        layer = conv(rng, kind, channels, kernel, stride) if channels else depthwise(rng, kind, kernel, stride)
        nodes.append(Node(f"layer{number}", layer, (f"v{number}",), f"v{number + 1}"))
        kind, y = layer.output, evaluate(layer, y)
    planner = planner_of(nodes, ("v0",), ("v12",), Config())
    plan = [Segment(0, 6, 1), Segment(6, 9, 7), Segment(9, 11, 6), Segment(11, 12, most=1 << 20)]
    network = for_plan(planner, plan, Config(sram_bytes=144_000), place)
    (found,), _ = execute(network, [x], [kind.shape])
    assert np.array_equal(found, y)
    monkeypatch.setattr(codegen, "turned", lambda layout, config, place: [])
    with pytest.raises(DoesNotFit):
        for_plan(planner, plan, Config(sram_bytes=144_000), place)


def test_less_room_is_never_slower_with_outputs_over_their_inputs() -> None:
    rng, limits = random_generator(), 0
    for _ in range(4):
        nodes = random_chain(rng, int(rng.integers(2, 6)), (12, 28))
        own = planner_of(nodes, ("x",), (nodes[-1].output,), Config())
        size = best_network(own.disjoint, own.disjoint.config, place).sram_bytes
        while True:
            try:
                apart = best_network(own.disjoint, replace(own.disjoint.config, sram_bytes=size), place)
            except DoesNotFit:
                break
            limits += 1
            assert best_network(own, replace(own.config, sram_bytes=size), place).cycles <= apart.cycles, (size, nodes)
            size = int(0.8 * size)
    assert limits
