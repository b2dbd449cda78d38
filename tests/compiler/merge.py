"""Many small models as one, side by side: one compilation covers them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import flatbuffers
import numpy as np
import onnx
from onnx import compose

Inputs = dict[str, np.ndarray]


def merge_tflite(models: Sequence[tuple[bytes, Mapping[str, np.ndarray]]]) -> tuple[bytes, Inputs]:
    """(file, input values) of one model that computes all of `models`; tensors of model i are named "mI_NAME"."""
    from ai_edge_litert import schema_py_generated as schema

    whole, inputs = None, {}
    for i, (data, values) in enumerate(models):
        part = schema.ModelT.InitFromPackedBuf(data, 0)
        graph = part.subgraphs[0]
        for tensor in graph.tensors:
            tensor.name = f"m{i}_{tensor.name.decode()}".encode()
        inputs.update({f"m{i}_{name}": value for name, value in values.items()})
        if whole is None:
            whole = part
            continue
        into = whole.subgraphs[0]
        buffers, codes, tensors = len(whole.buffers), len(whole.operatorCodes), len(into.tensors)
        for tensor in graph.tensors:
            tensor.buffer += buffers
        for node in graph.operators:
            node.opcodeIndex += codes
            node.inputs = [int(t) + tensors if t >= 0 else -1 for t in node.inputs]
            node.outputs = [int(t) + tensors for t in node.outputs]
        whole.buffers += part.buffers
        whole.operatorCodes += part.operatorCodes
        into.tensors += graph.tensors
        into.operators += graph.operators
        into.inputs = [*into.inputs, *(int(t) + tensors for t in graph.inputs)]
        into.outputs = [*into.outputs, *(int(t) + tensors for t in graph.outputs)]
    assert whole is not None
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(whole.Pack(builder), b"TFL3")
    return bytes(builder.Output()), inputs


def merge_onnx(models: Sequence[tuple[onnx.ModelProto, Mapping[str, np.ndarray]]]) -> tuple[onnx.ModelProto, Inputs]:
    """As `merge_tflite`; the models have one opset."""
    whole, inputs = onnx.ModelProto(), {}
    for i, (model, values) in enumerate(models):
        part = compose.add_prefix(model, f"m{i}_")
        inputs.update({f"m{i}_{name}": value for name, value in values.items()})
        if i == 0:
            whole.CopyFrom(part)
            continue
        for field in ("node", "initializer", "input", "output"):
            getattr(whole.graph, field).extend(getattr(part.graph, field))
    return whole, inputs
