"""Where the time of a network goes: layer by layer, beside bounds that no schedule goes below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nnc_tvm.targets.npu.clock import job_cost, timeline, transfer_cycles
from nnc_tvm.targets.npu.codegen import Network
from nnc_tvm.targets.npu.commands import HEADER_WORDS, Command, Job
from nnc_tvm.targets.npu.config import DEPTH, Config
from nnc_tvm.targets.npu.passes import ceil
from nnc_tvm.targets.npu.savings import plain_array_cycles
from nnc_tvm.targets.npu.transfers import Dma, Transfer
from nnc_tvm.targets.npu.windowed import Conv


@dataclass(frozen=True)
class LayerProfile:
    """A layer's share of the run, in cycles. cycles: of the array's lane, waiting for weights included; all layers' sum is the run, but for END.

    array, sram, dma: what the array, the SRAM's port and the DMA each need for it, beside each other. sram_bytes: in use meanwhile, at the most.
    over_bytes: of its output that lie over its dying input, or a cascade's.
    bound: what takes the largest part of `cycles`: "array", "sram" (the port and filling the first tile), "flash" or "host" (waiting for the DMA, which
    reads weights and commands, or moves images from and to the host, for the longer part) or "overhead". macs_skipped: of weights' zero blocks.
    weights: "int8" or "int4", with "masked" where zero blocks are left out, "" where there are none. flash_bytes: of its weights and parameters. host_bytes:
    of its images, from and to the host's memory. plain_array: cycles of the array with 8-bit weights, zeros multiplied.
    """

    cycles: int
    array: int
    sram: int
    dma: int
    sram_bytes: int
    over_bytes: int
    bound: str
    macs_skipped: int
    weights: str
    flash_bytes: int
    host_bytes: int
    plain_array: int


@dataclass(frozen=True)
class Bounds:
    """Cycles that the run needs for its multiplications that are not skipped, for reading flash, and for reading and writing every layer's images once."""

    macs: int
    flash: int
    images: int


def layers(network: Network, config: Config) -> dict[int, LayerProfile]:
    """By the number of the node; those that no command computes are left out."""
    spans, _ = timeline(network.commands, config)
    parts: dict[int, dict[str, int]] = {}
    forms: dict[int, dict[str, None]] = {}
    before = 0
    for command, span, origin in zip(network.commands, spans, network.origins, strict=True):
        part = parts.setdefault(origin.node, dict.fromkeys((
            "array", "port", "wait", "overhead", "transfer", "dma", "host", "live", "over", "skipped", "bytes", "moved", "plain"), 0))
        moving = transfer_cycles(command, config) if isinstance(command, Transfer) else 0
        part["dma"] += 4 * len(command.words()) + moving
        part["live"], part["over"] = max(part["live"], origin.live), max(part["over"], origin.over)
        if isinstance(command, Dma):
            part["bytes"] += command.coded
        elif isinstance(command, Transfer):
            part["host"], part["moved"] = part["host"] + moving, part["moved"] + command.bytes
        if isinstance(command, Conv):
            forms.setdefault(origin.node, {}).update(dict.fromkeys(_form(command)))
        if not isinstance(command, Transfer):
            cost = job_cost(command, config)
            transfer = ceil(cost.bytes, config.compute_bytes_per_cycle)
            port = cost.prologue + cost.stall
            for name, value in (("array", cost.array), ("port", port), ("wait", span.start - before), ("overhead", cost.cycles - cost.array - port),
                                ("transfer", transfer), ("skipped", skipped_macs(command)),
                                ("plain", plain_array_cycles(command, config) if isinstance(command, Conv) else cost.array)):
                part[name] += value
            before = span.end
    parts[network.origins[-1].node]["wait"] += max(0, spans[-1].end - before)  # for what the last stores have to bring
    return {node: _layer(part, " ".join(forms.get(node, ()))) for node, part in parts.items()}


def _form(job: Conv) -> tuple[str, ...]:
    return ("int4" if job.int4 else "int8", *(["masked"] if job.mask_bytes else []))


def _layer(part: dict[str, int], weights: str) -> LayerProfile:
    waits = "host" if 2 * part["host"] > part["dma"] else "flash"
    shares = {"array": part["array"], "sram": part["port"], waits: part["wait"], "overhead": part["overhead"]}
    return LayerProfile(sum(shares.values()), part["array"], part["transfer"], part["dma"], part["live"], part["over"],
                        max(shares, key=lambda name: shares[name]), part["skipped"], weights, part["bytes"], part["moved"], part["plain"])


def skipped_macs(job: Job) -> int:
    """Multiplications by blocks of weights that are masked."""
    if not isinstance(job, Conv) or job.depthwise:
        return 0
    return (job.steps * len(job.blocks) // len(job.slices) - sum(job.blocks)) * job.group * DEPTH * job.output.height * job.output.width


def _least_array(job: Conv, config: Config) -> float:
    """Cycles of the multiplications that are not skipped, all multipliers busy."""
    macs = job.output.elements * job.window.kernel[0] * job.window.kernel[1] * (1 if job.depthwise else job.source.channels)
    return max(0, macs - skipped_macs(job)) / (config.macs_per_cycle * (2 if job.int4 else 1))


def bounds(network: Network, config: Config) -> Bounds:
    """See Bounds."""
    array = sum(_least_array(command, config) for command in network.commands if isinstance(command, Conv))
    moved = sum(sum(t.bytes for t in node.operator.inputs) + node.operator.output.bytes
                for number, node in enumerate(network.nodes) if number in {origin.node for origin in network.origins})
    return Bounds(math.ceil(array), _flash_cycles(network.commands, config), ceil(moved, config.compute_bytes_per_cycle))


def _flash_cycles(commands: Sequence[Command], config: Config) -> int:
    return 4 * HEADER_WORDS + sum(4 * len(command.words()) + (transfer_cycles(command, config) if isinstance(command, Dma) else 0) for command in commands) + 4
