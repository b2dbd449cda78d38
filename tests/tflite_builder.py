"""Writes small .tflite models, for tests that need one operator or a few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite

DTYPES = {"float32": 0, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}
SAME, VALID = tflite.Padding.SAME, tflite.Padding.VALID
NONE, RELU, RELU_N1_TO_1, RELU6 = range(4)  # ActivationFunctionType


@dataclass(frozen=True, eq=False)
class Sparsity:
    """levels: of the traversal, each the size of a dense one or (segments, indices) of a compressed one. width: bits of these, 8, 16 or 32."""

    order: Sequence[int]
    block_map: Sequence[int]
    levels: Sequence[int | tuple[Sequence[int], Sequence[int]]]
    width: int = 32


@dataclass(frozen=True, eq=False)
class Tensor:
    """scale: None for unquantized tensors, one value or one per channel along `axis`. data: the values of a constant, of a sparse one those stored."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "int8"
    scale: float | Sequence[float] | np.ndarray | None = None
    zero_point: int | Sequence[int] | np.ndarray = 0
    axis: int = 0
    data: np.ndarray | None = None
    sparsity: Sparsity | None = None


@dataclass(frozen=True, eq=False)
class Node:
    """code: BuiltinOperator's name ("CONV_2D"). inputs, outputs: tensor names, "" for an absent optional one.

    options: the table's name ("Conv2DOptions") and fields as the schema spells them, in camel case ("strideW"); lists become int32 vectors.
    """

    code: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: tuple[str, dict[str, Any]] | None = None
    version: int = field(default=1)


def constant(name: str, data: np.ndarray, scale: float | Sequence[float] | np.ndarray | None = None, zero_point: int | Sequence[int] | np.ndarray = 0,
             axis: int = 0) -> Tensor:
    return Tensor(name, data.shape, str(data.dtype), scale, zero_point, axis, data)


def _vector(builder: flatbuffers.Builder, values: Sequence[int] | np.ndarray, dtype: str) -> int:
    return int(builder.CreateNumpyVector(np.atleast_1d(np.asarray(values, dtype))))


def _offsets(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _table(builder: flatbuffers.Builder, name: str, fields: dict[str, Any]) -> int:
    """A table of the schema; fields by the name of their `Add` function."""
    getattr(tflite, f"{name}Start")(builder)
    for key, value in fields.items():
        getattr(tflite, f"{name}Add{key[0].upper()}{key[1:]}")(builder, value)
    return int(getattr(tflite, f"{name}End")(builder))


def _sparsity(builder: flatbuffers.Builder, sparsity: Sparsity) -> int:
    dtype = {8: "uint8", 16: "uint16", 32: "int32"}[sparsity.width]
    kind = {8: "Uint8Vector", 16: "Uint16Vector", 32: "Int32Vector"}[sparsity.width]
    made = []
    for level in sparsity.levels:
        if isinstance(level, int):
            made.append(_table(builder, "DimensionMetadata", {"format": tflite.DimensionType.DENSE, "denseSize": level}))
            continue
        fields: dict[str, Any] = {"format": tflite.DimensionType.SPARSE_CSR}
        for name, values in zip(("arraySegments", "arrayIndices"), level, strict=True):
            fields[name] = _table(builder, kind, {"values": _vector(builder, values, dtype)})
            fields[f"{name}Type"] = getattr(tflite.SparseIndexVector, kind)
        made.append(_table(builder, "DimensionMetadata", fields))
    fields = {"traversalOrder": _vector(builder, sparsity.order, "int32"), "dimMetadata": _offsets(builder, made)}
    if sparsity.block_map:
        fields["blockMap"] = _vector(builder, sparsity.block_map, "int32")
    return _table(builder, "SparsityParameters", fields)


def _tensor(builder: flatbuffers.Builder, tensor: Tensor, buffer: int) -> int:
    fields = {"name": builder.CreateString(tensor.name), "shape": _vector(builder, tensor.shape, "int32"), "type": DTYPES[tensor.dtype], "buffer": buffer}
    if tensor.scale is not None:
        scale = np.atleast_1d(np.asarray(tensor.scale, np.float32))
        zero_point = np.broadcast_to(np.asarray(tensor.zero_point, np.int64), scale.shape)
        parts = {"scale": _vector(builder, scale, "float32"), "zeroPoint": _vector(builder, zero_point, "int64"), "quantizedDimension": tensor.axis}
        fields["quantization"] = _table(builder, "QuantizationParameters", parts)
    if tensor.sparsity is not None:
        fields["sparsity"] = _sparsity(builder, tensor.sparsity)
    return _table(builder, "Tensor", fields)


def _node(builder: flatbuffers.Builder, node: Node, index: dict[str, int], code: int) -> int:
    fields = {"opcodeIndex": code, "inputs": _vector(builder, [index[n] if n else -1 for n in node.inputs], "int32"),
              "outputs": _vector(builder, [index[n] for n in node.outputs], "int32")}
    if node.options is not None:
        name, options = node.options
        ready = {key: _vector(builder, value, "int32") if isinstance(value, list) else value for key, value in options.items()}
        fields["builtinOptionsType"] = getattr(tflite.BuiltinOptions, name)
        fields["builtinOptions"] = _table(builder, name, ready)
    return _table(builder, "Operator", fields)


def build_model(tensors: Sequence[Tensor], nodes: Sequence[Node], inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The bytes of a .tflite file with one subgraph; nodes in execution order."""
    builder = flatbuffers.Builder(1024)
    buffers = [_table(builder, "Buffer", {})]
    numbers = []
    for tensor in tensors:
        numbers.append(len(buffers) if tensor.data is not None else 0)
        if tensor.data is not None:
            # the vector itself is aligned: the interpreter reads int32 and float32 in place
            raw = np.frombuffer(np.ascontiguousarray(tensor.data).tobytes(), np.uint8)
            builder.StartVector(1, len(raw), 16)
            builder.head -= len(raw)
            builder.Bytes[builder.head:builder.head + len(raw)] = raw.tobytes()
            builder.vectorNumElems = len(raw)
            buffers.append(_table(builder, "Buffer", {"data": builder.EndVector()}))
    index = {tensor.name: i for i, tensor in enumerate(tensors)}
    made = [_tensor(builder, tensor, number) for tensor, number in zip(tensors, numbers, strict=True)]
    codes = list(dict.fromkeys((node.code, node.version) for node in nodes))
    operators = [_node(builder, node, index, codes.index((node.code, node.version))) for node in nodes]
    subgraph = _table(builder, "SubGraph", {
        "tensors": _offsets(builder, made), "inputs": _vector(builder, [index[n] for n in inputs], "int32"),
        "outputs": _vector(builder, [index[n] for n in outputs], "int32"), "operators": _offsets(builder, operators)})
    kinds = []
    for code, version in codes:
        number = getattr(tflite.BuiltinOperator, code)
        kinds.append(_table(builder, "OperatorCode", {"deprecatedBuiltinCode": min(number, 127), "builtinCode": number, "version": version}))
    model = _table(builder, "Model", {"version": 3, "operatorCodes": _offsets(builder, kinds), "subgraphs": _offsets(builder, [subgraph]),
                                      "buffers": _offsets(builder, buffers)})
    builder.Finish(model, b"TFL3")
    return bytes(builder.Output())


def run_reference(model: bytes, inputs: dict[str, np.ndarray], resolver: str = "BUILTIN_REF") -> dict[str, np.ndarray]:
    """Every tensor by name, computed by LiteRT's reference kernels, or those of another OpResolverType."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType[resolver], experimental_preserve_all_tensors=True,
                              num_threads=1)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], inputs[detail["name"]])
    interpreter.invoke()
    values = {}
    for detail in interpreter.get_tensor_details():
        if not detail["name"]:
            continue  # a kernel's scratch memory
        values[detail["name"]] = interpreter.get_tensor(detail["index"])
    return values
