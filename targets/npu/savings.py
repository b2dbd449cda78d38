"""What compressed weights save on the device, beside plain ones: zero blocks, 4 bits, coded flash, and factors of low rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nnc_tvm.schedules.operators import DepthwiseConv2d, Operator
from nnc_tvm.schedules.operators.operator import WeightedSum
from nnc_tvm.schedules.quantization import FixedRequantize
from nnc_tvm.schedules.rules.chain import is_narrow
from nnc_tvm.targets.npu.clock import job_cost
from nnc_tvm.targets.npu.config import CHANNELS, Config
from nnc_tvm.targets.npu.nodes import Fused, Node
from nnc_tvm.targets.npu.windowed import PARAMETER_BYTES, Conv


@dataclass(frozen=True)
class Whole:
    """The layer that two factors of low rank stand for: multiplications and bytes of weights, its own and those of both factors."""

    macs: int = 0
    bytes: int = 0
    factor_macs: int = 0
    factor_bytes: int = 0


def plain_bytes(operator: Operator) -> int:
    """Of flash, for weights of 8 bits as they are and their parameters; 0 without weights."""
    layer = weighted(operator)
    return 0 if layer is None else layer.weight.size + PARAMETER_BYTES * layer.bias.size


def plain_array_cycles(job: Conv, config: Config) -> int:
    """Cycles of the array on the same tiles with weights of 8 bits, no zeros skipped."""
    if job.depthwise:
        return job_cost(job, config).array
    groups = -(-job.output.channels // CHANNELS)
    return job_cost(replace(job, blocks=job.slice_steps * groups, mask_bytes=0, int4=False), config).array


def weighted(operator: Operator) -> WeightedSum | None:
    """The layer of weights in a node of the network."""
    found = operator.first if isinstance(operator, Fused) else operator
    return found if isinstance(found, WeightedSum) else None


def factors(nodes: Sequence[Node], output: str) -> dict[int, Whole]:
    """By the number of the first of two nodes: linear layers one after the other, of which the first's channels are fewer than the rank can be."""
    found: dict[int, Whole] = {}
    seconds: set[int] = set()
    for number, node in enumerate(nodes):
        readers = [n for n, other in enumerate(nodes) if node.output in other.inputs]
        if len(readers) != 1 or node.output == output or isinstance(node.operator, Fused) or number in seconds:
            continue
        first, second = weighted(node.operator), weighted(nodes[readers[0]].operator)
        if first is None or second is None or nodes[readers[0]].inputs[0] != node.output or not _factors(first, second):
            continue
        seconds.add(readers[0])
        elements = first.weight[0].size * (second.weight[0].size // first.output.shape[-1])
        found[number] = Whole(second.output.elements * elements, second.output.shape[-1] * elements, first.macs + second.macs,
                              first.weight.size + second.weight.size)
    return found


def _factors(first: WeightedSum, second: WeightedSum) -> bool:
    epilogue = first.epilogue
    linear = isinstance(epilogue, FixedRequantize) and (epilogue.low, epilogue.high) == (-128, 127)
    return linear and not any(isinstance(layer, DepthwiseConv2d) for layer in (first, second)) and is_narrow([first], [second])
