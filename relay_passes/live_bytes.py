"""How much of the arena is live while a layer runs: what no planner can go below, before one has planned."""

from __future__ import annotations

from nnc_tvm.relay_passes.program import ScheduledProgram
from nnc_tvm.schedules.parallel import scratch_pitch


class LiveBytes:
    """Of one program. Values in the caller's buffers and constants are not in the arena; a Reshape is its input under another name."""

    def __init__(self, scheduled: ScheduledProgram) -> None:
        program = scheduled.program
        self.layers = scheduled.layers
        self.values = program.values
        self.owners: dict[str, str] = {}
        self.made: dict[str, int] = {}
        self.last: dict[str, int] = {}
        for k, layer in enumerate(scheduled.layers):
            inputs, output = layer.layer.inputs, layer.layer.output
            if not layer.stages:
                self.owners[output] = self.owner(inputs[0])
                continue
            self.made[output] = k
            for name in inputs:
                self.last[self.owner(name)] = k
        for name in program.outputs:
            self.made.pop(self.owner(name), None)

    def owner(self, name: str) -> str:
        """The value whose memory it is."""
        return self.owners.get(name, name)

    def of_value(self, name: str) -> int:
        """Its bytes in the arena."""
        return self.values[name].type.bytes if name in self.made else 0

    def dies(self, name: str, layer: int) -> bool:
        """Whether a value of the arena is read by `layer` for the last time."""
        return self.owner(name) in self.made and self.last.get(self.owner(name), -1) <= layer

    def before(self, layer: int) -> int:
        """Of all that earlier layers made and that it or a later one reads."""
        return sum(self.of_value(name) for name, made in self.made.items() if made < layer <= self.last.get(name, -1))

    def of_layer(self, layer: int) -> int:
        """At the fullest of its kernels."""
        stages, names = self.layers[layer].stages, self.layers[layer].layer.inputs
        around, most = self.before(layer), 0
        for k, stage in enumerate(stages):
            later = {i for s in stages[k + 1:] for i in s.inputs}
            own = sum(stages[m].output.bytes for m in range(k) if any(-1 - m in s.inputs for s in stages[k:]))
            read = [i for s in stages[k:] for i in s.inputs if i >= 0]
            gone = {self.owner(name) for i, name in enumerate(names) if i not in read and self.dies(name, layer)}
            gone -= {self.owner(names[i]) for i in read}
            result = self.of_value(self.layers[layer].layer.output) if k == len(stages) - 1 else stage.output.bytes
            over = (i for p in stage.may_overwrite if (i := stage.inputs[p]) >= 0 and i not in later and self.dies(names[i], layer))
            if any(self.of_value(self.owner(names[i])) == result for i in over):
                result = 0
            scratch = sum(stage.parts * scratch_pitch(t.bytes, stage.parts) or t.bytes for t in stage.scratch)
            most = max(most, around - sum(self.of_value(name) for name in gone) + own + scratch + result)
        return most
