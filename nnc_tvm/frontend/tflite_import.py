"""From a checked TFLite model to a Relax module: our converters, and TVM's for operators that move or compute on float tensors alone."""

from __future__ import annotations

import struct
from typing import Any

import tvm
from tvm import relax
from tvm.relax.frontend.tflite.tflite_frontend import ExprTable, OperatorConverter, TensorWrapper

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.model import IoTensor
from nnc_tvm.frontend.relax_module import finish
from nnc_tvm.frontend.shapes import listed, one_line
from nnc_tvm.frontend.tflite_converters import CONVERTERS, Operands
from nnc_tvm.frontend.tflite_converters.operands import same_quantization
from nnc_tvm.frontend.tflite_file import Operator, Tensor, TfliteModel
from nnc_tvm.relay_passes.graph import closing_blocks

# TVM's converters that only move elements: right for integers too where scale and zero point stay
MOVEMENT = frozenset({"BROADCAST_TO", "DEPTH_TO_SPACE", "MIRROR_PAD", "REVERSE_V2", "SPACE_TO_DEPTH", "TILE"})


class Fallback(OperatorConverter):
    """TVM's converters over our table of values, which goes by tensor index: names in a file need not be distinct."""

    def __init__(self, model: TfliteModel, values: Importer) -> None:
        super().__init__(model.raw, model.raw.Subgraphs(0), ExprTable(), values.bb)
        self.tensors, self.values = model.tensors, values

    def get_expr(self, input_tensor_idx: int) -> Any:
        return self.values.expression(int(input_tensor_idx))

    def has_expr(self, input_tensor_idx: int) -> bool:
        return int(input_tensor_idx) in self.values.made

    def is_prefetched(self, input_tensor_idx: int) -> bool:
        return False

    def get_tensor_expr(self, tensor: TensorWrapper, is_sparse: bool = False) -> Any:
        return self.values.expression(int(tensor.tensor_idx))

    def convert(self, op: Operator) -> Any:
        """The expression, or list of expressions, of one operator."""
        result = self.convert_map[op.code](op=self.subgraph.Operators(op.index))
        result = self.bb.normalize(result)
        if len(op.outputs) == 1:
            return result
        return [self.bb.normalize(relax.TupleGetItem(result, i)) for i in range(len(op.outputs))]


class Importer:
    """Converts operators in order. made: the expression of each tensor that has one, by index."""

    def __init__(self, model: TfliteModel, bb: relax.BlockBuilder) -> None:
        self.model, self.bb = model, bb
        self.made: dict[int, Any] = {}
        self.fallback = Fallback(model, self)

    def expression(self, index: int) -> Any:
        """The tensor as it is stored; constants on demand."""
        if index not in self.made:
            tensor = self.model.tensors[index]
            if tensor.data is None:
                raise InvalidModel(f"the tensor '{tensor.label}' has no value")
            self.made[index] = relax.const(tensor.data)
        return self.made[index]

    def run(self) -> None:
        for op in self.model.operators:
            try:
                converter = CONVERTERS.get(op.code)
                results = converter(Operands(self.model, op, self)) if converter else self.fallback.convert(op)
                for index, result in zip(op.outputs, results if isinstance(results, list) else [results], strict=True):
                    self.define(index, result)
            except (InvalidModel, Unsupported) as error:
                raise type(error)(f"{self.model.label(op)}: {error}") from error
            except struct.error as error:
                raise InvalidModel(f"{self.model.label(op)}: its options lie outside the file, which is damaged") from error
            except Exception as error:  # TVM raises whatever its checks are written with
                raise Unsupported(f"{self.model.label(op)}: cannot be imported: {one_line(error)}") from error

    def define(self, index: int, expr: Any) -> None:
        """Binds tensor `index` under its own name. Raises InvalidModel when the file declares another shape or dtype."""
        tensor = self.model.tensors[index]
        expr = self.bb.normalize(expr)
        if isinstance(expr, tvm.ir.Call):
            expr = self.bb.emit(expr, name_hint=tensor.label)
        shape = tuple(int(d) for d in expr.ty.shape)
        if shape != tensor.shape and tensor.shape != ():
            raise InvalidModel(f"the output '{tensor.label}' is declared with shape {list(tensor.shape)}, computed with {list(shape)}")
        if str(expr.ty.dtype) != tensor.dtype:
            raise InvalidModel(f"the output '{tensor.label}' is declared {tensor.dtype}, computed {expr.ty.dtype}; convert the model again")
        self.made[index] = expr


def check_supported(model: TfliteModel, importer: Importer) -> None:
    """All operators without a conversion, and quantized ones whose conversion is for float alone, named at once."""
    unknown, unquantized = [], []
    for op in model.operators:
        if op.code in CONVERTERS:
            continue
        if op.code not in importer.fallback.convert_map:
            unknown.append(model.label(op))
            continue
        tensors = [model.tensors[i] for i in (*op.inputs, *op.outputs) if i >= 0]
        moves = op.code in MOVEMENT and same_quantization(model.tensors[op.inputs[0]], model.tensors[op.outputs[0]])
        if any(t.quantization is not None and t.dtype in ("int8", "uint8") for t in tensors) and not moves:
            unquantized.append(model.label(op))
    if unknown:
        raise Unsupported(f"operators that cannot be compiled: {listed(unknown)}; replace them or cut the model before them")
    if unquantized:
        raise Unsupported(f"quantized operators that cannot be compiled: {listed(unquantized)}; leave them float when quantizing, or cut the model before them")


def import_tflite(model: TfliteModel) -> tuple[tvm.IRModule, tuple[IoTensor, ...], tuple[IoTensor, ...]]:
    """(module, inputs, outputs) of a checked model. Raises InvalidModel or Unsupported naming the operator."""
    bb = relax.BlockBuilder()
    parameters = {i: relax.Var(model.tensors[i].name, relax.TensorType(model.tensors[i].shape, model.tensors[i].dtype)) for i in model.inputs}
    try:
        with closing_blocks(bb), bb.function("main", [parameters[i] for i in model.inputs]):
            with bb.dataflow():
                importer = Importer(model, bb)
                importer.made.update(parameters)
                check_supported(model, importer)
                importer.run()
                results = [importer.expression(i) for i in model.outputs]
                output = bb.emit_output(results[0] if len(results) == 1 else relax.Tuple(results))
            bb.emit_func_output(output)
        module = finish(bb.finalize())
    except (InvalidModel, Unsupported):
        raise
    except Exception as error:  # TVM raises whatever its checks are written with
        raise Unsupported(f"the model cannot be imported: {one_line(error)}") from error
    return module, tuple(_io(model.tensors[i]) for i in model.inputs), tuple(_io(model.tensors[i]) for i in model.outputs)


def _io(tensor: Tensor) -> IoTensor:
    q = tensor.quantization
    return IoTensor(tensor.name, tensor.shape, tensor.dtype, *(q.scalar() if q is not None and q.per_tensor else (None, None)))
