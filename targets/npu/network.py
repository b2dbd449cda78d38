"""A network of the NNC-1 as an operator among others: partitioning makes it, one kernel on the host calls the driver for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnc_tvm.schedules.operators.operator import Operator, TensorType
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.targets.npu.codegen import Network


@dataclass(frozen=True, eq=False)
class NpuNetwork(Operator):
    """y = what the layers between compute, on the device. inputs, output: int8."""

    network: Network
    dense_macs: int

    @property
    def macs(self) -> int:
        return self.dense_macs


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule: inputs into SRAM, the driver's call, the output out of it, but for what the stream itself moves. The device's SRAM, what
    is lent to it and its status are scratch of the arena."""
    if not isinstance(operator, NpuNetwork):
        return None
    network = operator.network
    constants = (np.frombuffer(network.stream, np.uint8), np.frombuffer(network.flash or b"\0", np.uint8))
    jobs = len(network.commands)
    lent = [at for at in (*network.inputs, *network.outputs) if at is None]
    return (Stage(_kernel(operator, constants, len(lent)), tuple(range(len(operator.inputs))), constants, operator.output, f"npu, {jobs} commands",
                  scratch=(TensorType((network.sram_bytes,), "uint8"), TensorType((2 * max(1, len(lent)),), "uint64"), TensorType((1,), "int32")),
                  may_fail=True),)


def _kernel(operator: NpuNetwork, constants: tuple[np.ndarray, np.ndarray], lent_count: int) -> Any:
    """A PrimFunc (inputs..., stream, flash, SRAM, what is lent as nnc_npu_lent, status, output)."""
    from tvm.script import ir_builder
    from tvm.script.ir_builder import tirx as T

    network = operator.network
    with ir_builder.IRBuilder() as builder, T.prim_func():
        inputs = [T.arg(f"x{i}", T.buffer((t.elements,), "int8")) for i, t in enumerate(operator.inputs)]
        stream, flash = (T.arg(name, T.buffer((c.size,), "uint8")) for name, c in zip(("stream", "flash"), constants, strict=True))
        sram = T.arg("sram", T.buffer((network.sram_bytes,), "uint8"))
        lent = T.arg("lent", T.buffer((2 * max(1, lent_count),), "uint64"))
        status = T.arg("status", T.buffer((1,), "int32"))
        y = T.arg("y", T.buffer((operator.output.elements,), "int8"))
        (result,) = network.outputs
        blocks = [(x, kind.bytes, 0) for x, kind, at in zip(inputs, operator.inputs, network.inputs, strict=True) if at is None]
        if result is None:
            blocks.append((y, operator.output.bytes, 1))
        for number, (block, size, written) in enumerate(blocks):
            T.buffer_store(lent, T.reinterpret("uint64", block.data), [2 * number])
            T.buffer_store(lent, T.uint64(size | written << 32), [2 * number + 1])
        for x, kind, at in zip(inputs, operator.inputs, network.inputs, strict=True):
            if at is not None:
                with T.serial(0, kind.elements) as i:
                    T.buffer_store(sram, T.reinterpret("uint8", x[i]), [i + at])
        call = T.call_extern("int32", "nnc_npu_run", stream.data, T.uint32(constants[0].size), flash.data, T.uint32(constants[1].size), sram.data,
                             T.uint32(network.sram_bytes), lent.data, T.uint32(lent_count), T.reinterpret("handle", T.uint64(0)))
        T.buffer_store(status, call, [0])
        if result is not None:
            with T.serial(0, operator.output.elements) as i:
                T.buffer_store(y, T.reinterpret("int8", sram[i + result]), [i])
    return builder.get()
