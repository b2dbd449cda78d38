"""What the manifest says of an NPU's part in a package."""

from __future__ import annotations

from nnc_tvm.package.manifest import NpuInfo
from nnc_tvm.relay_passes.program import ScheduledProgram
from nnc_tvm.targets.base import Companion
from nnc_tvm.targets.npu.network import NpuNetwork


def npu_info(scheduled: ScheduledProgram, companion: Companion | None) -> NpuInfo | None:
    """The device, and the compiler's estimate of all its networks together."""
    if companion is None:
        return None
    operators = [layer.layer.operator for layer in scheduled.layers if isinstance(layer.layer.operator, NpuNetwork)]
    networks = [operator.network for operator in operators]
    config = companion.config
    return NpuInfo(config.macs_per_cycle, config.sram_bytes_per_cycle, config.flash_bytes_per_cycle, sum(n.cycles for n in networks),
                   max((n.sram_bytes for n in networks), default=0), sum(operator.macs for operator in operators))
