"""What the manifest says of an NPU's part in a package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nnc_tvm.package.npu_info import NpuBounds, NpuCommand, NpuInfo, NpuLayer, NpuSavings
from nnc_tvm.relay_passes.program import Program, ScheduledProgram
from nnc_tvm.targets.base import Companion
from nnc_tvm.targets.npu import profile
from nnc_tvm.targets.npu.clock import timeline
from nnc_tvm.targets.npu.codegen import Network
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.network import NpuNetwork
from nnc_tvm.targets.npu.nodes import Fused
from nnc_tvm.targets.npu.savings import Whole, factors, plain_bytes
from nnc_tvm.targets.npu.transfers import Transfer


def npu_info(scheduled: ScheduledProgram, companion: Companion | None) -> NpuInfo | None:
    """The device, and the compiler's estimate of all its networks, one after the other."""
    if companion is None:
        return None
    config = companion.config
    operators = {number: row.layer.operator for number, row in enumerate(scheduled.layers) if isinstance(row.layer.operator, NpuNetwork)}
    networks = [operator.network for operator in operators.values()]
    rows: list[NpuLayer] = []
    commands: list[NpuCommand] = []
    cycles = 0
    for number, operator in operators.items():
        profiles = profile.layers(operator.network, config)
        wholes = factors(operator.network.nodes, scheduled.layers[number].layer.output)
        places = {node: len(rows) + place for place, node in enumerate(profiles)}
        rows += [_layer(operator.network, node, found, number, scheduled.program, config, wholes.get(node, Whole()))
                 for node, found in profiles.items()]
        commands += _commands(operator.network, places, cycles, config)
        cycles += operator.network.cycles
    found = [profile.bounds(network, config) for network in networks]
    bounds = NpuBounds(sum(b.macs for b in found), sum(b.flash for b in found), sum(b.images for b in found))
    return NpuInfo(config.macs_per_cycle, config.sram_bytes_per_cycle, config.flash_bytes_per_cycle, cycles, max((n.sram_bytes for n in networks), default=0),
                   sum(operator.macs for operator in operators.values()), bounds, _savings(rows), tuple(rows), tuple(commands))


def _layer(network: Network, node: int, found: profile.LayerProfile, layer: int, program: Program, config: Config, whole: Whole) -> NpuLayer:
    operator, value = network.nodes[node].operator, program.values[network.nodes[node].output]
    utilization = operator.macs / (found.cycles * config.macs_per_cycle)
    kind, fused = (operator.sum.kind, operator.first.kind) if isinstance(operator, Fused) else (operator.kind, "")
    return NpuLayer(network.nodes[node].name, layer, kind, fused, operator.output.shape, value.scale, value.zero_point,
                    found.weights, operator.macs, found.macs_skipped, found.cycles, found.array, found.sram, found.dma,
                    round(utilization, 4), found.sram_bytes, found.over_bytes, found.bound, found.host_bytes, found.flash_bytes, plain_bytes(operator),
                    found.plain_array, whole.macs, whole.bytes, whole.factor_macs, whole.factor_bytes)


def _savings(rows: Sequence[NpuLayer]) -> NpuSavings:
    weighted = [row for row in rows if row.weights]
    return NpuSavings(sum(row.macs_skipped for row in rows), sum(row.macs for row in rows if row.weights.startswith("int4")),
                      sum(row.array_cycles for row in weighted), sum(row.plain_array_cycles for row in weighted), sum(row.flash_bytes for row in weighted),
                      sum(row.plain_flash_bytes for row in weighted), sum(row.whole_macs > 0 for row in rows), sum(row.factor_macs for row in rows),
                      sum(row.factor_bytes for row in rows), sum(row.whole_macs for row in rows), sum(row.whole_bytes for row in rows))


def _commands(network: Network, places: dict[int, int], start: int, config: Config) -> Iterator[NpuCommand]:
    spans, _ = timeline(network.commands, config)
    for command, span, origin in zip(network.commands, spans, network.origins, strict=True):
        times = (places[origin.node], type(command).__name__, start + span.start, start + span.end)
        if isinstance(command, Transfer):
            yield NpuCommand(*times, 0, 0, ())
        else:
            image = command.output
            yield NpuCommand(*times, origin.at, image.row, (image.height, image.width, image.channels))
