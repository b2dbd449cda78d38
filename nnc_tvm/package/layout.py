"""Where every tensor of a network lives: in the caller's buffers, in the arena or in read-only data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nnc_tvm.package import arena
from nnc_tvm.package.constants import Constants
from nnc_tvm.relay_passes.program import Program, ScheduledLayer, ScheduledProgram
from nnc_tvm.schedules.operators.operator import ITEM_BYTES, TensorType
from nnc_tvm.schedules.parallel import scratch_pitch
from nnc_tvm.schedules.rule import Stage


@dataclass(frozen=True)
class Place:
    """base "input" or "output": the caller's buffer number `index`; "arena": byte `index`; "constant": constant number `index`.

    pitch: bytes from a part's scratch to that of the next part; 0 for what all parts share.
    """

    base: Literal["input", "output", "arena", "constant"]
    index: int
    pitch: int = 0


@dataclass(frozen=True)
class Step:
    """One kernel call: its arguments in the order of the function's parameters (inputs, constants, scratch, output)."""

    arguments: tuple[Place, ...]


@dataclass(frozen=True)
class Layout:
    """steps: one for each stage, in execution order. in_place: numbers of the steps whose output shares memory with an input.
    copies: (source, output number) of the outputs that no kernel writes: `source` also lives elsewhere."""

    steps: tuple[Step, ...]
    in_place: frozenset[int]
    copies: tuple[tuple[Place, int], ...]
    arena: arena.Plan


@dataclass
class _Tensor:
    """Memory of its own. Written at `first`, last read at `last`; `place` is set at once unless it goes to the arena."""

    type: TensorType
    first: int
    last: int
    place: Place | None
    block: int = -1  # its number among the arena's buffers
    parts: int = 1  # each has as much

    @property
    def pitch(self) -> int:
        """Bytes from one part to the next: none writes to a cache line of another."""
        return scratch_pitch(self.type.bytes, self.parts)

    @property
    def bytes(self) -> int:
        return self.parts * self.pitch or self.type.bytes


def lay_out(scheduled: ScheduledProgram, constants: Constants) -> Layout:
    """Places all tensors; adds the constant arrays to `constants`.

    A Reshape is its input under another name. Kernels read the caller's inputs and write the caller's outputs where they can, so
    those are not in the arena; an output that is an input, a constant or another output as well is copied at the end.
    """
    return _Planner(scheduled, constants).layout()


class _Planner:
    def __init__(self, scheduled: ScheduledProgram, constants: Constants) -> None:
        self.program: Program = scheduled.program
        self.layers = scheduled.layers
        self.constants = constants
        self.names: dict[str, str] = {}  # value -> the value whose memory it is
        self.tensors: dict[str, _Tensor] = {}  # by the name of that value
        self.outputs: dict[str, list[int]] = {}
        self.step = 0
        self.calls: list[tuple[Stage, list[_Tensor], list[Place], list[_Tensor], _Tensor]] = []

    def layout(self) -> Layout:
        for layer in self.layers:
            if not layer.stages:
                self.names[layer.layer.output] = self.owner(layer.layer.inputs[0])
        for number, name in enumerate(self.program.outputs):
            self.outputs.setdefault(self.owner(name), []).append(number)
        for number, name in enumerate(self.program.inputs):
            self.tensors[name] = _Tensor(self.program.values[name].type, -1, -1, Place("input", number))
        for name, array in self.program.constants.items():
            self.tensors[name] = _Tensor(self.program.values[name].type, -1, -1, Place("constant", self.constants.add(array)))
        for layer in self.layers:
            self.run_layer(layer)
        in_place, blocks = self.share_blocks()
        plan = arena.plan(blocks)

        def place(tensor: _Tensor) -> Place:
            return tensor.place or Place("arena", plan.offsets[tensor.block], tensor.pitch)

        steps = tuple(Step((*map(place, inputs), *packed, *map(place, scratch), place(output))) for _, inputs, packed, scratch, output in self.calls)
        return Layout(steps, in_place, tuple(self.copies()), plan)

    def owner(self, name: str) -> str:
        return self.names.get(name, name)

    def run_layer(self, layer: ScheduledLayer) -> None:
        """Records the layer's calls and how long what they read has lived."""
        made: list[_Tensor] = []
        for stage in layer.stages:
            inputs = [made[-1 - k] if k < 0 else self.tensors[self.owner(layer.layer.inputs[k])] for k in stage.inputs]
            for tensor in inputs:
                tensor.last = self.step
            output = _Tensor(stage.output, self.step, self.step, None)
            made.append(output)
            scratch = [_Tensor(t, self.step, self.step, None, parts=stage.parts) for t in stage.scratch]
            self.calls.append((stage, inputs, [Place("constant", self.constants.add(c)) for c in stage.constants], scratch, output))
            self.step += 1
        if made:
            name, result = layer.layer.output, made[-1]
            expected = self.program.values[name].type
            if result.type.bytes != expected.bytes:
                raise ValueError(f"layer '{layer.layer.name}': the last stage writes {result.type}, value '{name}' is {expected}")
            if name in self.outputs:
                result.place = Place("output", self.outputs[name][0])
            self.tensors[name] = result

    def share_blocks(self) -> tuple[frozenset[int], list[arena.Buffer]]:
        """The arena's buffers: one for each tensor, or one for several where a kernel may write over an input that dies with it."""
        blocks: list[arena.Buffer] = []
        in_place = set()
        for number, (stage, inputs, _, scratch, output) in enumerate(self.calls):
            for tensor in scratch:
                tensor.block = len(blocks)
                blocks.append(arena.Buffer(tensor.bytes, tensor.first, tensor.last))
            if output.place is not None:
                continue
            over = next((inputs[p] for p in stage.may_overwrite if _dies(inputs, p, stage, number, output)), None)
            if over is None:
                output.block = len(blocks)
                blocks.append(arena.Buffer(output.type.bytes, output.first, output.last))
            else:
                output.block = over.block
                blocks[over.block] = arena.Buffer(output.type.bytes, blocks[over.block].first, output.last)
                in_place.add(number)
        return frozenset(in_place), blocks

    def copies(self) -> list[tuple[Place, int]]:
        """Outputs that share their tensor with an input, a constant or an output before them."""
        copies = []
        for name, numbers in self.outputs.items():
            place = self.tensors[name].place
            assert place is not None  # outputs never go to the arena
            copies += [(place, number) for number in numbers if place != Place("output", number)]
        return sorted(copies, key=lambda copy: copy[1])


def _dies(inputs: list[_Tensor], position: int, stage: Stage, step: int, output: _Tensor) -> bool:
    """Whether `output` may take over the memory of the input at `position`: nobody else reads it, now or later."""
    tensor = inputs[position]
    others = any(other is tensor and p not in stage.may_overwrite for p, other in enumerate(inputs))
    same_size = tensor.type.bytes == output.type.bytes and ITEM_BYTES[tensor.type.dtype] == ITEM_BYTES[output.type.dtype]
    return tensor.place is None and tensor.last == step and same_size and not others
