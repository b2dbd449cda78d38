"""From a checked ONNX model to a Relax module: passes on the ONNX graph, then TVM's importer with our converters before its own."""

from __future__ import annotations

import contextlib
import io
import types
import warnings
from typing import Any

import onnx
import tvm
from onnx import TensorProto
from tvm import relax, tirx
from tvm.relax.frontend.onnx.onnx_frontend import ONNXGraphImporter, _get_convert_map

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.model import IoTensor
from nnc_tvm.frontend.onnx_checks import check_onnx
from nnc_tvm.frontend.onnx_converters import CONVERTERS
from nnc_tvm.frontend.onnx_form_checks import check_forms
from nnc_tvm.frontend.onnx_names import label, opset_of
from nnc_tvm.frontend.onnx_passes import PASSES
from nnc_tvm.frontend.onnx_passes.graph import static_shapes
from nnc_tvm.frontend.onnx_passes.write_out_control_flow import has_control_flow, write_out_control_flow
from nnc_tvm.frontend.onnx_shape_checks import SHAPE_CHECKS
from nnc_tvm.frontend.relax_module import finish
from nnc_tvm.frontend.shapes import DTYPES_IN_WORDS, listed, one_line
from nnc_tvm.relay_passes.graph import closing_blocks

DTYPES = {TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64", TensorProto.BOOL: "bool", TensorProto.INT8: "int8", TensorProto.UINT8: "uint8",
          TensorProto.INT16: "int16", TensorProto.UINT16: "uint16", TensorProto.INT32: "int32", TensorProto.UINT32: "uint32", TensorProto.INT64: "int64",
          TensorProto.UINT64: "uint64"}


class Importer(ONNXGraphImporter):
    """TVM's importer, node by node: bindings carry the names of the ONNX tensors, and an error names the node.

    declared: dtype and shape of each tensor whose shape ONNX can infer.
    """

    declared: dict[str, tuple[str, tuple[int, ...]]]

    def _construct_nodes(self, graph: onnx.GraphProto) -> None:
        for node in graph.node:
            try:
                super()._construct_nodes(types.SimpleNamespace(node=[node]))
            except (InvalidModel, Unsupported) as error:
                raise type(error)(f"{label(node)}: {error}") from error
            except Exception as error:  # TVM raises whatever its checks are written with
                raise Unsupported(f"{label(node)}: cannot be imported: {one_line(error)}") from error
            for name in filter(None, node.output):
                if isinstance(self._nodes.get(name), tvm.ir.Call):
                    self._nodes[name] = self.bb.emit(self._nodes[name], name_hint=name)
                self.check_type(node, name)

    def check_type(self, node: onnx.NodeProto, name: str) -> None:
        """The output `name` is what ONNX's shape inference says: a form of the operator that TVM reads as another often differs in shape."""
        kind = getattr(self._nodes.get(name), "ty", None)
        if isinstance(kind, relax.TupleType):
            raise Unsupported(f"{label(node)}: makes several tensors of '{name}', which cannot be compiled")
        shape = getattr(kind, "shape", None)
        if name not in self.declared or not isinstance(kind, relax.TensorType) or shape is None or not all(isinstance(d, tirx.IntImm) for d in shape):
            return
        found, wanted = (str(kind.dtype), tuple(int(d) for d in shape)), self.declared[name]
        if found != wanted:
            raise Unsupported(f"{label(node)}: this form of the operator cannot be compiled: '{name}' would be {found[0]}{list(found[1])}, "
                              f"not {wanted[0]}{list(wanted[1])}")

    def _check_for_unsupported_ops(self, graph: onnx.GraphProto) -> None:
        """`check_supported` has done it, with our converters in mind."""

    def _convert_operator(self, op_name: str, inputs: list[Any], attrs: dict[str, Any], opset: int) -> Any:
        converter = CONVERTERS.get(op_name)
        node = onnx.NodeProto(op_type=op_name, output=[""] * attrs["tvm_custom"]["num_outputs"])
        made = converter(self.bb, [i for i in list(inputs)], attrs, node) if converter is not None else None
        return super()._convert_operator(op_name, inputs, attrs, opset) if made is None else self.bb.normalize(made)


def check_supported(model: onnx.ModelProto) -> None:
    """All operators without a conversion, named at once."""
    known = _get_convert_map()
    unknown = sorted({n.op_type for n in model.graph.node if n.op_type not in known and n.op_type not in CONVERTERS})
    if unknown:
        where = [label(next(n for n in model.graph.node if n.op_type == kind)) for kind in unknown]
        raise Unsupported(f"operators that cannot be compiled: {listed(where)}; replace them or cut the model before them")
    for what, values in (("input", model.graph.input), ("tensor", model.graph.value_info), ("output", model.graph.output)):
        for value in values:
            if not value.type.HasField("tensor_type"):
                raise Unsupported(f"the {what} '{value.name}' is no tensor; sequences, maps and optional values cannot be compiled")
            kind = value.type.tensor_type.elem_type
            if kind not in DTYPES and (kind or what == "input"):
                name = TensorProto.DataType.Name(kind).lower() if kind in TensorProto.DataType.values() else str(kind)
                raise Unsupported(f"the {what} '{value.name}' has dtype {name}; tensors may be {DTYPES_IN_WORDS}")


def declared_types(model: onnx.ModelProto) -> dict[str, tuple[str, tuple[int, ...]]]:
    """dtype and shape of the tensors that nodes make, as far as ONNX knows them."""
    shapes = static_shapes(model)
    values = (*model.graph.value_info, *model.graph.output)
    kinds = {v.name: DTYPES.get(v.type.tensor_type.elem_type) for v in values}
    return {name: (kind, shapes[name]) for name, kind in kinds.items() if kind is not None and name in shapes}


def import_onnx(model: onnx.ModelProto) -> tuple[tvm.IRModule, tuple[IoTensor, ...], tuple[IoTensor, ...]]:
    """(module, inputs, outputs) of a checked model, which is changed. Raises InvalidModel or Unsupported naming the node."""
    try:
        if has_control_flow(model):
            write_out_control_flow(model)
            check_onnx(model)  # what was written out is as much at risk
        for step in (*PASSES, *SHAPE_CHECKS, check_supported, check_forms):
            step(model)
        importer = Importer({}, "float32", keep_params_in_input=False, sanitize=False)
        importer.declared = declared_types(model)
        with closing_blocks(importer.bb), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # the importer prints a line when it raises
            warnings.simplefilter("ignore")
            module = finish(importer.from_onnx(model.graph, opset_of(model)))
    except (InvalidModel, Unsupported):
        raise
    except Exception as error:  # TVM and onnx raise whatever their checks are written with
        raise Unsupported(f"the model cannot be imported: {one_line(error)}") from error
    main = module["main"]
    inputs = tuple(IoTensor(v.name, *_shape_and_dtype(p.ty)) for v, p in zip(model.graph.input, main.params, strict=True))
    if not inputs:
        raise Unsupported("the model has no inputs: its outputs are constants, there is nothing to compile")
    results = main.ret_ty.fields if isinstance(main.ret_ty, relax.TupleType) else [main.ret_ty]
    outputs = tuple(IoTensor(v.name, *_shape_and_dtype(t)) for v, t in zip(model.graph.output, results, strict=True))
    for value, tensor in zip(model.graph.output, outputs, strict=True):
        declared = DTYPES.get(value.type.tensor_type.elem_type, tensor.dtype)
        if declared != tensor.dtype:
            raise InvalidModel(f"the output '{tensor.name}' is declared {declared}, but its node makes {tensor.dtype}; export the model again")
    return module, inputs, outputs


def _shape_and_dtype(kind: Any) -> tuple[tuple[int, ...], str]:
    return tuple(int(d) for d in kind.shape), str(kind.dtype)
