"""Damage of every kind that a model file can have: at the level of bytes, and for ONNX at the level of the graph."""

from __future__ import annotations

import io
import pathlib
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, TensorProto

Rng = np.random.Generator
INTEGERS = (0, 1, -1, 2, 3, 4, 7, 127, 128, 255, 256, 65535, 1 << 20, (1 << 31) - 1, -(1 << 31), 1 << 31, (1 << 62), -(1 << 63))
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-40, 1e-30, 1e30, float("inf"), float("-inf"), float("nan"))


def pick(rng: Rng, items: Sequence[object]) -> object:
    return items[int(rng.integers(len(items)))]


def flip_bytes(data: bytes, rng: Rng) -> bytes:
    damaged = np.frombuffer(data, np.uint8).copy()
    damaged[rng.integers(0, len(damaged), int(rng.integers(1, 9)))] = rng.integers(0, 256)
    return damaged.tobytes()


def overwrite_integer(data: bytes, rng: Rng) -> bytes:
    """A 32-bit word becomes one of the numbers that programs stumble over."""
    place = int(rng.integers(0, max(len(data) - 4, 1))) // 4 * 4
    return data[:place] + (int(INTEGERS[rng.integers(len(INTEGERS))]) & 0xFFFFFFFF).to_bytes(4, "little") + data[place + 4 :]


def cut(data: bytes, rng: Rng) -> bytes:
    return data[: int(rng.integers(1, len(data) + 1))]


def remove_part(data: bytes, rng: Rng) -> bytes:
    a, b = sorted(int(i) for i in rng.integers(0, len(data), 2))
    return data[:a] + data[min(b, a + 64) :]


def repeat_part(data: bytes, rng: Rng) -> bytes:
    a = int(rng.integers(0, len(data)))
    return data[: a + 16] + data[a:]


BYTES: tuple[Callable[[bytes, Rng], bytes], ...] = (flip_bytes, flip_bytes, overwrite_integer, overwrite_integer, cut, remove_part, repeat_part)


def rewire(model: onnx.ModelProto, rng: Rng) -> None:
    """A node reads or writes another tensor than before."""
    nodes = model.graph.node
    node = nodes[int(rng.integers(len(nodes)))]
    names = [n for other in nodes for n in (*other.input, *other.output)] + ["", "ghost"]
    side = node.input if rng.random() < 0.8 else node.output
    if side:
        side[int(rng.integers(len(side)))] = str(pick(rng, names))


def drop_node(model: onnx.ModelProto, rng: Rng) -> None:
    del model.graph.node[int(rng.integers(len(model.graph.node)))]


def change_operator(model: onnx.ModelProto, rng: Rng) -> None:
    kinds = ["Add", "Relu", "Conv", "MatMul", "Gemm", "Reshape", "Transpose", "Softmax", "QuantizeLinear", "DequantizeLinear", "QLinearConv", "Resize", "Pad",
             "MaxPool", "AveragePool", "Concat", "Slice", "Gather", "Cast", "Split", "MatMulInteger", "DynamicQuantizeLinear", "Expand", "ReduceMean", "Loop"]
    model.graph.node[int(rng.integers(len(model.graph.node)))].op_type = str(pick(rng, kinds))


def change_attribute(model: onnx.ModelProto, rng: Rng) -> None:
    attributes = [a for node in model.graph.node for a in node.attribute]
    if not attributes:
        return
    attribute = attributes[int(rng.integers(len(attributes)))]
    number = int(INTEGERS[rng.integers(len(INTEGERS))])
    number = max(min(number, (1 << 63) - 1), -(1 << 63))
    if attribute.ints:
        attribute.ints[int(rng.integers(len(attribute.ints)))] = number
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = float(FLOATS[rng.integers(len(FLOATS))])
    elif attribute.type == AttributeProto.STRING:
        attribute.s = bytes(rng.integers(0, 256, 4, dtype=np.uint8))
    else:
        attribute.i = number


def change_tensor(model: onnx.ModelProto, rng: Rng) -> None:
    """The dtype, the shape or a value of an initializer."""
    if not model.graph.initializer:
        return
    tensor = model.graph.initializer[int(rng.integers(len(model.graph.initializer)))]
    what = rng.random()
    if what < 0.3:
        tensor.data_type = int(rng.integers(0, 27))
    elif what < 0.6:
        extent = int(INTEGERS[rng.integers(len(INTEGERS))])
        if tensor.dims and rng.random() < 0.7:
            tensor.dims[int(rng.integers(len(tensor.dims)))] = min(extent, (1 << 63) - 1)
        else:
            tensor.dims.append(min(extent, (1 << 63) - 1))
    elif tensor.data_type == TensorProto.FLOAT and len(tensor.raw_data) >= 4:
        values = np.frombuffer(tensor.raw_data[: len(tensor.raw_data) // 4 * 4], np.float32).copy()
        values[int(rng.integers(len(values)))] = FLOATS[rng.integers(len(FLOATS))]
        tensor.raw_data = values.tobytes()
    elif tensor.raw_data:
        tensor.raw_data = flip_bytes(tensor.raw_data, rng)


def change_input(model: onnx.ModelProto, rng: Rng) -> None:
    """The dtype or an extent of an input or output."""
    value = pick(rng, [*model.graph.input, *model.graph.output])
    assert isinstance(value, onnx.ValueInfoProto)
    dims = value.type.tensor_type.shape.dim
    if rng.random() < 0.3 or not dims:
        value.type.tensor_type.elem_type = int(rng.integers(0, 27))
    else:
        dims[int(rng.integers(len(dims)))].dim_value = min(int(INTEGERS[rng.integers(len(INTEGERS))]), (1 << 63) - 1)


def swap_nodes(model: onnx.ModelProto, rng: Rng) -> None:
    nodes = model.graph.node
    a, b = (int(i) for i in rng.integers(0, len(nodes), 2))
    first, second = nodes[a].SerializeToString(), nodes[b].SerializeToString()
    nodes[a].ParseFromString(second)
    nodes[b].ParseFromString(first)


def change_opset(model: onnx.ModelProto, rng: Rng) -> None:
    if model.opset_import:
        model.opset_import[0].version = int(rng.integers(-1, 40))


GRAPH: tuple[Callable[[onnx.ModelProto, Rng], None], ...] = (
    rewire, rewire, drop_node, change_operator, change_attribute, change_attribute, change_tensor, change_tensor, change_tensor, change_input, swap_nodes,
    change_opset,
)


def change_member(data: bytes, rng: Rng) -> bytes:
    """A file within a zip archive is damaged, a number in its JSON or any bytes; the archive itself stays whole."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    texts = [name for name in members if name.endswith(".json") and members[name]]
    name = str(pick(rng, texts if texts and rng.random() < 0.7 else [n for n in members if members[n]]))
    numbers = [m.span() for m in re.finditer(rb"(?<=[ \[:,])-?\d+(?:\.\d+)?(?=[\],}\s])", members[name])] if name in texts else []
    if numbers and rng.random() < 0.7:
        start, end = numbers[int(rng.integers(len(numbers)))]
        members[name] = members[name][:start] + str(pick(rng, INTEGERS)).encode() + members[name][end:]
    else:
        members[name] = BYTES[int(rng.integers(len(BYTES)))](members[name], rng)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return made.getvalue()


def mutate(path: pathlib.Path, rng: Rng) -> bytes:
    """The damaged content of a model file: one to three mutations, of its graph where it is ONNX, of a member where it is a .pt2 archive, or of its bytes."""
    data = path.read_bytes()
    for _ in range(int(rng.integers(1, 4))):
        if path.suffix == ".onnx" and rng.random() < 0.75:
            try:
                model = onnx.ModelProto.FromString(data)
            except DecodeError:
                break
            if model.graph.node:
                GRAPH[int(rng.integers(len(GRAPH)))](model, rng)
                data = model.SerializeToString()
        elif path.suffix == ".pt2" and rng.random() < 0.85:
            try:
                data = change_member(data, rng)
            except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError):  # the mutation before has damaged the archive
                break
        else:
            data = BYTES[int(rng.integers(len(BYTES)))](data, rng) or b"\0"
    return data
