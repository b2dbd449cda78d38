"""Networks followed byte for byte: whatever a job reads of SRAM was last written by the layer, the load or the host that made it."""

from __future__ import annotations

import numpy as np

from nnc_tvm.package.arena import place
from nnc_tvm.targets.npu.codegen import Network, for_plan
from nnc_tvm.targets.npu.commands import Job
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.operands import Image
from nnc_tvm.targets.npu.pixelwise import Add, Lut
from nnc_tvm.targets.npu.selection import planner_of
from nnc_tvm.targets.npu.transfers import Dma, Fetch, Store
from nnc_tvm.targets.npu.windowed import Conv, Pool
from tests.kernels.cases import random_generator
from tests.npu.cases import addresses
from tests.npu.chains import random_chain, random_plan
from tests.npu.test_chasing import accesses


def second(job: Job) -> Image | None:
    """What it reads beside its first image, as the layer's second input."""
    if isinstance(job, Conv):
        return job.residual[0] if job.residual else None
    return job.b if isinstance(job, Add) else None


def follow(network: Network, inputs: dict[str, int]) -> int:
    """Bytes of outputs that were written over the job's own input. inputs: values that the host writes, or of which it lends memory, and their bytes."""
    owners = np.full(network.sram_bytes, "", dtype=object)
    for (name, size), at in zip(inputs.items(), network.inputs, strict=True):
        if at is not None:
            owners[at:at + size] = name
    lent = [name for name, at in zip(inputs, network.inputs, strict=True) if at is None]
    over = 0
    for number, (command, origin) in enumerate(zip(network.commands, network.origins, strict=True)):
        node = network.nodes[origin.node]
        if isinstance(command, Dma):
            owners[command.destination:command.destination + command.bytes] = node.name
            continue
        if isinstance(command, Fetch):
            (owners[command.destination:command.destination + command.bytes],) = lent
            continue
        if isinstance(command, Store):
            assert (owners[command.source:command.source + command.bytes] == network.nodes[-1].output).all(), number
            continue
        first = command.a if isinstance(command, Add) else command.source
        over += np.intersect1d(addresses(first), addresses(command.output)).size
        other = second(command)
        if other is not None:
            assert (owners[addresses(other)] == node.inputs[1]).all(), (number, node)
        if isinstance(command, Conv):
            assert (owners[command.weights:command.weights + command.weight_bytes] == node.name).all(), (number, node)
        if isinstance(command, Lut):
            assert (owners[command.table:command.table + 256] == node.name).all(), (number, node)
        whole = [(addresses(first), addresses(command.output))]
        for read, written in accesses(command) if isinstance(command, Conv | Pool) else whole:
            assert (owners[read] == node.inputs[0]).all(), (number, node)
            owners[written] = node.output
    for at, node in zip(network.outputs, network.nodes[-1:], strict=True):
        assert at is None or (owners[at:at + node.operator.output.bytes] == node.output).all()
    return over


def test_what_jobs_read_is_what_their_input_s_layer_wrote() -> None:
    """Any cascades, in as little SRAM as the arena finds."""
    rng, over = random_generator(), 0
    for _ in range(40):
        nodes = random_chain(rng, int(rng.integers(2, 8)), (6, 28))
        planner = planner_of(nodes, ("x",), (nodes[-1].output,), Config())
        planner = [planner, *planner.streaming][rng.integers(1 + len(planner.streaming))]
        network = for_plan(planner, random_plan(rng, planner.nodes, bool(planner.streamed)), Config(), place)
        over += follow(network, {"x": nodes[0].operator.inputs[0].bytes})
    assert over
