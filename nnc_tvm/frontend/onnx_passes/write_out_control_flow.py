"""Control flow that is decided when compiling is written out: If of a constant condition, Loop of a constant count, Scan over a fixed extent.

Conditions and counts are often arithmetic on shapes, so constants are folded as branches are taken, until nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import numpy_helper

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_names import label
from nnc_tvm.frontend.onnx_passes.fix_batch import fix_batch
from nnc_tvm.frontend.onnx_passes.fold_constants import fold_constants
from nnc_tvm.frontend.onnx_passes.graph import infer_shapes, initializers, replace_nodes, set_initializer, static_shapes
from nnc_tvm.frontend.onnx_passes.subgraph_writer import SubgraphWriter

MOST_STEPS = 1024
MOST_NODES = 50_000
PLAIN_INITIALIZERS = 4  # the ir_version from which initializers need no input of their name
OLDEST_SCAN = 9  # before, Scan had a batch of its own


def has_control_flow(model: onnx.ModelProto) -> bool:
    return any(a.HasField("g") or a.graphs for node in model.graph.node for a in node.attribute)


def write_out_control_flow(model: onnx.ModelProto) -> None:
    """Raises Unsupported naming the first node that is decided at run time."""
    if has_control_flow(model):
        model.ir_version = max(model.ir_version, PLAIN_INITIALIZERS)
    while has_control_flow(model):
        fix_batch(model)
        fold_constants(model)
        shapes, constants = static_shapes(model), initializers(model.graph)
        nodes: list[onnx.NodeProto] = []
        for node in model.graph.node:
            writer = WRITERS.get(node.op_type)
            written = writer(SubgraphWriter(model, node, shapes, constants)) if writer is not None else None
            nodes += [node] if written is None else written
            if len(nodes) > MOST_NODES:
                raise Unsupported(f"{label(node)}: control flow that writes out more than {MOST_NODES} nodes; export the model with fewer steps")
        left = next((n for n in nodes if any(a.HasField("g") or a.graphs for a in n.attribute)), None)
        if left is not None and [n.output for n in nodes] == [n.output for n in model.graph.node]:
            raise Unsupported(f"{label(left)}: control flow that is decided at run time; export the model with fixed branches and numbers of steps")
        replace_nodes(model.graph, nodes)
        infer_shapes(model)


def write_if(w: SubgraphWriter) -> list[onnx.NodeProto] | None:
    """The branch that is taken."""
    condition = w.constant_input(0)
    if condition is None:
        return None
    branch = w.values["then_branch" if condition.reshape(-1)[0] else "else_branch"]
    for result, output in zip(w.inline(branch, 0, []), w.node.output, strict=True):
        if output:
            w.emit("Identity", [result], output)
    return w.nodes


def write_loop(w: SubgraphWriter) -> list[onnx.NodeProto] | None:
    """The body as often as the count says, where its condition stays true."""
    count, condition, body = w.constant_input(0), w.constant_input(1), w.values["body"]
    given = len(w.node.input) > 1 and w.node.input[1]
    if count is None or (given and condition is None) or not stays_true(body):
        return None
    steps = int(count.reshape(-1)[0]) if condition is None or condition.reshape(-1)[0] else 0
    if steps > MOST_STEPS:
        raise Unsupported(f"{label(w.node)}: {steps} steps; up to {MOST_STEPS} are written out")
    carried = list(w.node.input[2:])
    stacks: list[list[str]] = [[] for _ in body.output[1 + len(carried):]]
    always = f"{w.node.output[0]}::true"
    set_initializer(w.graph, always, np.array(True))
    for step in range(max(steps, 0)):
        _, *results = w.inline(body, step, [w.integers(f"step{step}", step), always, *carried])
        carried = results[:len(carried)]
        for stack, part in zip(stacks, results[len(carried):], strict=True):
            stack.append(part)
    return finished(w, carried, stacks, [0] * len(stacks))


def stays_true(body: onnx.GraphProto) -> bool:
    """Whether a loop's condition is handed on as it is, or constant."""
    name, makers = body.output[0].name, {output: node for node in body.node for output in node.output}
    while name in makers and makers[name].op_type == "Identity":
        name = makers[name].input[0]
    constants = {t.name: t for t in body.initializer}
    constants |= {output: a.t for output, node in makers.items() if node.op_type == "Constant" for a in node.attribute if a.name == "value"}
    return name == body.input[1].name or (name in constants and bool(numpy_helper.to_array(constants[name]).reshape(-1)[0]))


def write_scan(w: SubgraphWriter) -> list[onnx.NodeProto] | None:
    """The body for every slice of the scanned inputs."""
    body, count = w.values["body"], int(w.values["num_scan_inputs"])
    names = list(w.node.input)
    if w.opset < OLDEST_SCAN or not 0 < count <= len(names) or any(name not in w.shapes for name in names[-count:]):
        return None
    carried, scanned = names[:-count], names[-count:]
    axes = w.values.get("scan_input_axes", [0] * count)
    extents = {w.shapes[name][axis] for name, axis in zip(scanned, axes, strict=True)}
    if len(extents) != 1 or max(extents) > MOST_STEPS:
        raise Unsupported(f"{label(w.node)}: scans extents {sorted(extents)}; one extent of up to {MOST_STEPS} can be written out")
    steps, backwards = extents.pop(), w.values.get("scan_input_directions", [0] * count)
    stacks: list[list[str]] = [[] for _ in body.output[len(carried):]]
    for step in range(steps):
        slices = []
        for i, (name, axis, back) in enumerate(zip(scanned, axes, backwards, strict=True)):
            place = steps - 1 - step if back else step
            slices.append(w.emit("Gather", [name, w.integers(f"step{place}", place)], f"{w.node.output[0]}::{step}::slice{i}", axis=axis))
        results = w.inline(body, step, [*carried, *slices])
        carried = results[:len(carried)]
        for stack, part in zip(stacks, results[len(carried):], strict=True):
            stack.append(part)
    turned = w.values.get("scan_output_directions", [0] * len(stacks))
    ordered = [stack[::-1] if back else stack for stack, back in zip(stacks, turned, strict=True)]
    return finished(w, carried, ordered, w.values.get("scan_output_axes", [0] * len(stacks)))


def finished(w: SubgraphWriter, carried: list[str], stacks: list[list[str]], axes: list[int]) -> list[onnx.NodeProto]:
    """The node's outputs: what the last step carries, then the stacks."""
    outputs = [*w.node.output]
    for name, output in zip(carried, outputs[:len(carried)], strict=True):
        if output:
            w.emit("Identity", [name], output)
    for parts, axis, output in zip(stacks, axes, outputs[len(carried):], strict=False):
        if output:
            w.stack(parts, output, axis)
    return w.nodes


WRITERS: dict[str, Callable[[SubgraphWriter], list[onnx.NodeProto] | None]] = {"If": write_if, "Loop": write_loop, "Scan": write_scan}
