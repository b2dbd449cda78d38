"""The flatbuffer of a .tflite file as plain Python values, every offset and length checked on the way.

Schema: tensorflow/compiler/mlir/lite/schema/schema.fbs, read through the `tflite` package.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import tflite

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.guard import ModelFile
from nnc_tvm.frontend.tflite_sparse import dense_values, densified
from nnc_tvm.schedules.quantization import QuantParams

DTYPES = {
    tflite.TensorType.FLOAT32: "float32", tflite.TensorType.FLOAT16: "float16", tflite.TensorType.INT32: "int32", tflite.TensorType.UINT8: "uint8",
    tflite.TensorType.INT64: "int64", tflite.TensorType.BOOL: "bool", tflite.TensorType.INT16: "int16", tflite.TensorType.INT8: "int8",
    tflite.TensorType.FLOAT64: "float64", tflite.TensorType.UINT32: "uint32", tflite.TensorType.UINT64: "uint64",
}
OTHER_TYPES = {v: k.lower() for k, v in vars(tflite.TensorType).items() if isinstance(v, int) and v not in DTYPES}
OPERATORS = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
OPTIONS = {v: k for k, v in vars(tflite.BuiltinOptions).items() if isinstance(v, int)}
# what reading a damaged flatbuffer raises
DAMAGE = (struct.error, IndexError, TypeError, ValueError, OverflowError, KeyError, AttributeError, MemoryError, RecursionError)


@dataclass(frozen=True, eq=False)
class Tensor:
    """data: the value of a constant, None for activations. signature: the shape with -1 where it is dynamic."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: QuantParams | None
    data: np.ndarray | None
    signature: tuple[int, ...]
    variable: bool

    @property
    def label(self) -> str:
        """How messages and layers name the tensor: converters join the names of fused operators with ";", the first says enough."""
        first = self.name.split(";")[0] or self.name
        return first if len(first) <= 80 else "..." + first[-77:]


@dataclass(frozen=True, eq=False)
class Operator:
    """code: BuiltinOperator's name. inputs, outputs: tensor indices, -1 for an absent input. options: the table of its options, or None."""

    index: int
    code: str
    custom: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


@dataclass(frozen=True, eq=False)
class TfliteModel:
    """The first subgraph of a file. raw: the flatbuffer, for TVM's importer."""

    raw: tflite.Model
    subgraphs: int
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def label(self, op: Operator) -> str:
        """How messages name an operator: its place, kind and first output."""
        output = self.tensors[op.outputs[0]].label if op.outputs else "?"
        return f"operator {op.index} {op.custom or op.code} ('{output}')"


def parse_tflite(file: ModelFile) -> TfliteModel:
    """The model in `file`. Raises InvalidModel when an offset or length leaves the file, Unsupported for data outside the flatbuffer."""
    try:
        return densified(_Reader(file.data).model())
    except (InvalidModel, Unsupported):
        raise
    except DAMAGE as error:
        raise InvalidModel(f"the TFLite flatbuffer is truncated or damaged: {len(file.data)} bytes do not hold all that it refers to") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def count(self, number: int, item_bytes: int, what: str) -> range:
        """range(number), if so many items fit into the file at all."""
        if number * item_bytes > len(self.data):
            raise InvalidModel(f"the TFLite flatbuffer is truncated or damaged: {number} {what} do not fit into {len(self.data)} bytes")
        return range(number)

    def model(self) -> TfliteModel:
        raw = tflite.Model.GetRootAs(self.data, 0)
        if raw.Version() != 3:
            raise Unsupported(f"TFLite schema version {raw.Version()}; version 3 can be read, convert the model again")
        buffers = [self.buffer(raw.Buffers(i), i) for i in self.count(raw.BuffersLength(), 4, "buffers")]
        codes = [self.code(raw.OperatorCodes(i)) for i in self.count(raw.OperatorCodesLength(), 4, "operator codes")]
        subgraphs = len(self.count(raw.SubgraphsLength(), 4, "subgraphs"))
        if subgraphs == 0:
            raise InvalidModel("the model has no subgraph; convert it again")
        for i in range(subgraphs):
            raw.Subgraphs(i).TensorsLength()
        graph = raw.Subgraphs(0)
        tensors = tuple(self.tensor(graph.Tensors(i), i, buffers) for i in self.count(graph.TensorsLength(), 4, "tensors"))
        operators = tuple(self.operator(graph.Operators(i), i, codes, len(tensors)) for i in self.count(graph.OperatorsLength(), 4, "operators"))
        inputs = self.indices(graph, "Inputs", len(tensors), "the model's inputs")
        outputs = self.indices(graph, "Outputs", len(tensors), "the model's outputs")
        self.tail(raw)
        return TfliteModel(raw, subgraphs, tensors, operators, inputs, outputs)

    def tail(self, raw: tflite.Model) -> None:
        """Touches what nnc-tvm does not read, so that a file cut off there is noticed."""
        raw.Description()
        for i in self.count(raw.MetadataLength(), 4, "metadata entries"):
            raw.Metadata(i).Name()
            if not 0 <= raw.Metadata(i).Buffer() < raw.BuffersLength():
                raise InvalidModel(f"metadata entry {i} refers to buffer {raw.Metadata(i).Buffer()} of {raw.BuffersLength()}")
        for i in self.count(raw.SignatureDefsLength(), 4, "signatures"):
            raw.SignatureDefs(i).SignatureKey()

    def buffer(self, buffer: Any, index: int) -> np.ndarray | None:
        if buffer.Size() > 1 or buffer.Offset() > 1:
            raise Unsupported(f"buffer {index} lies outside the flatbuffer (a model above 2 GB); such models cannot be read")
        if buffer.DataLength() == 0:
            return None
        self.count(buffer.DataLength(), 1, "bytes of a buffer")
        return np.asarray(buffer.DataAsNumpy())

    def code(self, code: Any) -> tuple[str, str]:
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        custom = code.CustomCode()
        return OPERATORS.get(number, f"operator code {number}"), custom.decode(errors="replace") if custom else ""

    def indices(self, table: Any, field: str, tensors: int, what: str) -> tuple[int, ...]:
        self.count(getattr(table, field + "Length")(), 4, "indices")
        values = getattr(table, field + "AsNumpy")()
        found = tuple(int(v) for v in values) if isinstance(values, np.ndarray) else ()
        if any(not -1 <= v < tensors for v in found):
            raise InvalidModel(f"{what} refer to tensor {next(v for v in found if not -1 <= v < tensors)} of {tensors}: the file is damaged")
        return found

    def vector(self, table: Any, field: str) -> np.ndarray:
        self.count(getattr(table, field + "Length")(), 1, "entries")
        values = getattr(table, field + "AsNumpy")()
        return np.array(values) if isinstance(values, np.ndarray) else np.zeros(0, np.int64)

    def tensor(self, tensor: Any, index: int, buffers: list[np.ndarray | None]) -> Tensor:
        name = (tensor.Name() or b"").decode(errors="replace") or f"tensor_{index}"
        if tensor.Type() not in DTYPES:
            raise Unsupported(f"the tensor '{name}' has dtype {OTHER_TYPES.get(tensor.Type(), tensor.Type())}, which cannot be compiled")
        dtype = DTYPES[tensor.Type()]
        shape = tuple(int(d) for d in self.vector(tensor, "Shape"))
        if not 0 <= tensor.Buffer() < max(len(buffers), 1):
            raise InvalidModel(f"the tensor '{name}' refers to buffer {tensor.Buffer()} of {len(buffers)}: the file is damaged")
        raw = buffers[tensor.Buffer()] if buffers else None
        data = None
        if tensor.Sparsity() is not None:
            data = dense_values(tensor, name, shape, np.dtype(dtype), raw, self.count)
        elif raw is not None:
            need = int(np.prod(shape, dtype=np.float64)) * np.dtype(dtype).itemsize
            if raw.size != need:
                raise InvalidModel(f"the tensor '{name}' {list(shape)} {dtype} needs {need} bytes, its buffer has {raw.size}: the file is damaged")
            data = np.frombuffer(raw.tobytes(), np.dtype(dtype).newbyteorder("<")).astype(dtype).reshape(shape)
        signature = tuple(int(d) for d in self.vector(tensor, "ShapeSignature"))
        return Tensor(index, name, shape, dtype, self.quantization(tensor, name, dtype), data, signature, bool(tensor.IsVariable()))

    def quantization(self, tensor: Any, name: str, dtype: str) -> QuantParams | None:
        table = tensor.Quantization()
        if table is None or table.ScaleLength() == 0:
            return None
        scale, zero = self.vector(table, "Scale").astype(np.float32), self.vector(table, "ZeroPoint")
        zero = np.zeros(scale.shape, np.int64) if zero.size == 0 else zero
        if zero.size not in (1, scale.size):
            raise InvalidModel(f"the tensor '{name}' has {scale.size} scales and {zero.size} zero points")
        zero = np.broadcast_to(np.clip(zero, -(2**31), 2**31 - 1).astype(np.int32), scale.shape)
        if scale.size == 1:
            return QuantParams(scale.reshape(()), zero.reshape(()), dtype, 0)
        return QuantParams(scale, np.array(zero), dtype, int(table.QuantizedDimension()))

    def operator(self, op: Any, index: int, codes: list[tuple[str, str]], tensors: int) -> Operator:
        if not 0 <= op.OpcodeIndex() < len(codes):
            raise InvalidModel(f"operator {index} refers to operator code {op.OpcodeIndex()} of {len(codes)}: the file is damaged")
        code, custom = codes[op.OpcodeIndex()]
        inputs = self.indices(op, "Inputs", tensors, f"the inputs of operator {index} {code}")
        outputs = self.indices(op, "Outputs", tensors, f"the outputs of operator {index} {code}")
        return Operator(index, code, custom, inputs, outputs, self.options(op))

    def options(self, op: Any) -> Any:
        table, name = op.BuiltinOptions(), OPTIONS.get(op.BuiltinOptionsType(), "NONE")
        if not isinstance(table, flatbuffers.table.Table) or name == "NONE" or not hasattr(tflite, name):
            return None
        options = getattr(tflite, name)()
        options.Init(table.Bytes, table.Pos)
        return options
