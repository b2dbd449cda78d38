"""What an ONNX file must satisfy before anything is computed from it. One check per function; its docstring is the reason."""

from __future__ import annotations

import collections
from collections.abc import Callable

import onnx
from onnx import TensorProto, numpy_helper

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.onnx_names import DEFAULT_DOMAINS, graphs_of, label, opset_of, shortened, tensors_of
from nnc_tvm.frontend.onnx_number_checks import finite_attributes, finite_weights, positive_variances
from nnc_tvm.frontend.onnx_official import official_checker
from nnc_tvm.frontend.onnx_operators import FOREIGN_OPERATORS
from nnc_tvm.frontend.onnx_quantization_checks import valid_scales, values_in_range
from nnc_tvm.frontend.shapes import check_elements, check_shape, listed, one_line

CONTROL_FLOW = ("If", "Loop", "Scan")
DEEPEST = 8  # control flow within control flow
OLDEST_OPSET = 7  # the oldest that onnx's version converter takes along reliably


def has_nodes(model: onnx.ModelProto) -> None:
    """A model computes something."""
    if not model.graph.node:
        raise InvalidModel("the graph has no nodes; export the model again")
    if not model.graph.output:
        raise InvalidModel("the graph has no outputs; export the model again")


def readable_names(model: onnx.ModelProto) -> None:
    """Names are UTF-8 text; protobuf hands anything else over as bytes."""
    graph = model.graph
    names = [n for node in graph.node for n in (node.op_type, node.domain, node.name, *node.input, *node.output)]
    names += [v.name for v in (*graph.input, *graph.output, *graph.value_info, *graph.initializer)] + [o.domain for o in model.opset_import]
    bad = next((n for n in names if not isinstance(n, str)), None)
    if bad is not None:
        raise InvalidModel(f"the name {bad!r} is not UTF-8 text: the file is damaged")


def known_format(model: onnx.ModelProto) -> None:
    """The file's own format version is one that is known."""
    newest = onnx.IR_VERSION
    if not model.HasField("ir_version") or model.ir_version < 1:
        raise InvalidModel("no ir_version: the file is truncated, or its writer left the format out; export the model again")
    if model.ir_version > newest:
        raise Unsupported(f"ir_version {model.ir_version} is newer than {newest}, the newest that onnx {onnx.__version__} knows; "
                          f"export with ir_version {newest}, or upgrade onnx")


def shallow_control_flow(model: onnx.ModelProto) -> None:
    """Branches and loops are written out where they are decided when compiling; deeply nested ones could exhaust the stack of whoever walks them."""
    for graph, depth in graphs_of(model.graph):
        bad = next((n for n in graph.node if n.op_type not in CONTROL_FLOW and any(a.HasField("g") or a.graphs for a in n.attribute)), None)
        if bad is not None:
            raise Unsupported(f"{label(bad)}: graphs within this operator cannot be compiled; export the model with fixed branches and unrolled loops")
        if depth > DEEPEST:
            inner = next(iter(graph.node), onnx.NodeProto())
            raise Unsupported(f"{label(inner)} lies in control flow nested more than {DEEPEST} deep; export the model with fixed branches and unrolled loops")


def known_opset(model: onnx.ModelProto) -> None:
    """Operators mean what their opset says, so it must be one that is known."""
    opset, newest = opset_of(model), onnx.defs.onnx_opset_version()
    domains = [o.domain if o.domain not in DEFAULT_DOMAINS else "" for o in model.opset_import]
    twice = next((d for d in domains if domains.count(d) > 1), None)
    if twice is not None:
        raise InvalidModel(f"two opsets for the domain '{twice or 'ai.onnx'}'; export the model with one of each")
    if opset == 0:
        raise InvalidModel("no opset_import: the file is truncated, or its writer left the operator set out; export the model again")
    if opset < OLDEST_OPSET:
        raise Unsupported(f"opset {opset} is older than {OLDEST_OPSET}; export the model with opset 13 or newer")
    if opset > newest:
        raise Unsupported(f"opset {opset} is newer than {newest}, the newest that onnx {onnx.__version__} knows; export with opset {newest}, or upgrade onnx")


def known_operators(model: onnx.ModelProto) -> None:
    """Every operator is ONNX's own or one of the few of others that can be imported; all unknown ones are named at once."""
    opset, unknown = opset_of(model), []
    for node in model.graph.node:
        official = node.domain in DEFAULT_DOMAINS and onnx.defs.has(node.op_type, opset)
        if not official and (node.domain, node.op_type) not in FOREIGN_OPERATORS:
            unknown.append(f"{node.domain + '.' if node.domain else ''}{node.op_type} (node '{node.name or next(iter(node.output), '?')}')")
    if unknown:
        raise Unsupported(f"unknown operators: {listed(unknown)}; export the model with the operators of ONNX opset {opset} alone")


def distinct_outputs(model: onnx.ModelProto) -> None:
    """Every tensor is written once."""
    seen = {i.name for i in model.graph.input} | {i.name for i in model.graph.initializer}
    for what, values in (("input", model.graph.input), ("initializer", model.graph.initializer), ("output", model.graph.output)):
        names = collections.Counter(v.name for v in values)
        duplicate = next((name for name, count in names.items() if count > 1), None)
        if duplicate is not None:
            raise InvalidModel(f"the {what} '{shortened(duplicate)}' is declared twice; give each its own name")
    for node in model.graph.node:
        for name in filter(None, node.output):
            if name in seen:
                raise InvalidModel(f"{label(node)} writes '{name}', which the graph already has; give every output its own name")
            seen.add(name)


def defined_inputs(model: onnx.ModelProto) -> None:
    """Every tensor is written before it is read: nodes are in order, without cycles, and refer to nothing that is missing."""
    known = {i.name for i in model.graph.input} | {i.name for i in model.graph.initializer}
    made = {name for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        for name in filter(None, node.input):
            if name not in known:
                why = "a later node makes: a cycle, or nodes out of order" if name in made else "nothing makes: no input, initializer or node has that name"
                raise InvalidModel(f"{label(node)} reads '{name}', which {why}")
        known.update(node.output)
    for output in model.graph.output:
        if output.name not in known:
            raise InvalidModel(f"the output '{output.name}' is made by no node")


def shaped_inputs(model: onnx.ModelProto) -> None:
    """Memory is planned before the model runs, so inputs have shapes."""
    constants = {t.name for t in model.graph.initializer}
    for value in model.graph.input:
        if value.name not in constants and value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape"):
            raise InvalidModel(f"the input '{value.name}' has no shape; export the model with the inputs' shapes")


def sane_dimensions(model: onnx.ModelProto) -> None:
    """Extents are positive and tensors small enough to count their elements in 32 bits."""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        check_shape(value.name, [d.dim_value for d in value.type.tensor_type.shape.dim if d.HasField("dim_value")])
    for tensor in model.graph.initializer:
        if any(d < 0 for d in tensor.dims):
            raise InvalidModel(f"the initializer '{tensor.name}' has the shape {list(tensor.dims)}: negative")
        check_elements(tensor.name, tensor.dims)


def whole_tensors(model: onnx.ModelProto) -> None:
    """A tensor holds as many bytes as its shape and dtype say; fewer mean a truncated file."""
    for tensor in tensors_of(model.graph):
        if tensor.data_type not in TensorProto.DataType.values() or tensor.data_type == TensorProto.UNDEFINED:
            raise InvalidModel(f"the tensor '{tensor.name}' has the unknown data type {tensor.data_type}")
        if tensor.data_type == TensorProto.STRING:
            continue
        try:
            numpy_helper.to_array(tensor)
        except (ValueError, TypeError, OverflowError) as error:
            size = f", but {len(tensor.raw_data)} bytes" if tensor.HasField("raw_data") else ""
            raise InvalidModel(f"the tensor '{tensor.name}' has the shape {list(tensor.dims)}{size}: the file is truncated or damaged") from error


CHECKS: tuple[Callable[[onnx.ModelProto], None], ...] = (
    readable_names, known_format, known_opset, has_nodes, shallow_control_flow, known_operators, distinct_outputs, defined_inputs, shaped_inputs,
    sane_dimensions, whole_tensors, values_in_range, finite_attributes, finite_weights, positive_variances, valid_scales, official_checker,
)


def check_onnx(model: onnx.ModelProto) -> None:
    """Runs every check. Raises InvalidModel or Unsupported by the first that fails."""
    for check in CHECKS:
        try:
            check(model)
        except (InvalidModel, Unsupported):
            raise
        except Exception as error:  # a damaged protobuf can hold anything
            raise InvalidModel(f"the file is damaged: {one_line(error)}") from error
