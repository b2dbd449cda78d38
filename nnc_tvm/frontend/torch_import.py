"""From a torch.export program to a Relax module: TVM's converters node by node, and ours for quantized operators."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.model import IoTensor
from nnc_tvm.frontend.relax_module import finish
from nnc_tvm.frontend.shapes import check_shape, listed, one_line
from nnc_tvm.frontend.torch_converters import CONVERTERS
from nnc_tvm.frontend.torch_file import ExportedProgram, quiet
from nnc_tvm.frontend.torch_program import Node, Prepared, overload, prepare
from nnc_tvm.relay_passes.graph import closing_blocks, rebuild

Expr = Any
# TVM converts one layer of these, in one direction; PyTorch writes out any
DECOMPOSED = ("lstm.input", "gru.input", "rnn_tanh.input", "rnn_relu.input")
INPUT_TYPES = ("float32", "int8", "uint8", "int32", "int64", "bool")


def import_torch(program: ExportedProgram, batch: int | None = None) -> tuple[tvm.IRModule, tuple[IoTensor, ...], tuple[IoTensor, ...]]:
    """(module, inputs, outputs). batch: what a dynamic first extent becomes, by default 1. Raises InvalidModel or Unsupported naming the node."""
    importer = new_importer()
    graph = prepare(program, convertible(importer))
    parameters = [input_variable(node, batch) for node in graph.inputs]
    importer.block_builder = bb = relax.BlockBuilder()
    names: dict[Any, str] = {}
    try:
        with quiet(), closing_blocks(bb), bb.function("main", parameters):
            with bb.dataflow():
                importer.env.update(zip(graph.inputs, parameters, strict=True))
                importer.env.update({node: relax.const(tensor.cpu().contiguous().numpy()) for node, tensor in graph.constants.items()})
                convert(importer, graph, names)
                results = [result(importer, name, node) for name, node in graph.outputs]
                output = bb.emit_output(results[0] if len(results) == 1 else relax.Tuple(results))
            bb.emit_func_output(output)
        module = finish(rebuild(bb.finalize(), lambda r, variable, value: r.emit(value, names.get(variable, ""))))
    except (InvalidModel, Unsupported):
        raise
    except Exception as error:  # TVM and torch raise whatever their checks are written with
        raise Unsupported(f"the model cannot be imported: {one_line(error)}") from error
    inputs = tuple(io_tensor(node.name, variable) for node, variable in zip(graph.inputs, parameters, strict=True))
    return module, inputs, tuple(io_tensor(name, expr) for (name, _), expr in zip(graph.outputs, results, strict=True))


def new_importer() -> Any:
    """TVM's importer: converters by operator, and the state they share."""
    from tvm.relax.frontend.torch.exported_program_translator import ExportedProgramImporter

    return ExportedProgramImporter()


def convertible(importer: Any) -> dict[Any, object]:
    """Operators with a converter; the others are decomposed."""
    return {name: converter for name, converter in {**importer.convert_map, **CONVERTERS}.items() if name not in DECOMPOSED}


def prepared(program: ExportedProgram) -> Prepared:
    """The graph that `import_torch` reads, for those who run it on PyTorch."""
    return prepare(program, convertible(new_importer()))


def input_variable(node: Node, batch: int | None) -> relax.Var:
    """The parameter of an input. Raises Unsupported for dtypes that packages do not take and extents that are dynamic but the first."""
    value = node.meta["val"]
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype not in INPUT_TYPES:
        raise Unsupported(f"the input '{node.name}' has dtype {dtype}; inputs may be {listed(list(INPUT_TYPES))}")
    dynamic = [i for i, extent in enumerate(value.shape) if not isinstance(extent, int)]
    if any(dynamic) or (dynamic == [] and batch is not None and value.shape[:1] != (batch,)):
        which = f"extents {dynamic} that are only known at run time" if dynamic else f"the fixed batch {int(value.shape[0]) if value.ndim else 'of a scalar'}"
        raise Unsupported(f"the input '{node.name}' has {which}; export the model with the sizes that the package shall have")
    shape = [batch or 1 if i in dynamic else int(extent) for i, extent in enumerate(value.shape)]
    check_shape(node.name, shape)
    return relax.Var(node.name, relax.TensorType(shape, dtype))


def convert(importer: Any, graph: Prepared, names: dict[Any, str]) -> None:
    """Converts the nodes in order; names: what the variable of each node's result shall be called."""
    for node in graph.nodes:
        name = overload(node)
        try:
            value = converted(importer, node, name)
        except (InvalidModel, Unsupported) as error:
            raise type(error)(f"node '{node.name}' ({name}): {error}") from error
        except Exception as error:  # TVM raises whatever its checks are written with
            raise Unsupported(f"node '{node.name}' ({name}): cannot be imported: {one_line(error)}") from error
        bound = importer.block_builder.lookup_binding(value) if isinstance(value, tvm.ir.Var) else None
        if isinstance(bound, relax.Tuple):  # several results: those who read one take it from the list
            value = list(bound.fields)
        importer.env[node] = value
        if isinstance(value, tvm.ir.Var):
            names.setdefault(value, source_name(node))


def converted(importer: Any, node: Node, name: str) -> Any:
    """What a node becomes: an expression, several, or a number where all it reads are numbers."""
    read = [importer.env.get(source) for source in node.all_input_nodes]
    if read and all(isinstance(value, int | float) for value in read):
        return node.target(*(importer.env.get(a, a) if hasattr(a, "op") else a for a in node.args))
    ours = CONVERTERS.get(name)
    return ours(node, importer) if ours else importer.convert_map[name](node)


def source_name(node: Node) -> str:
    """The tensor that a node stands for: a quantize is the quantized form of what it reads."""
    return f"{node.args[0].name}_q" if overload(node).startswith("quantize_") else str(node.name)


def result(importer: Any, name: str, node: Node) -> Expr:
    """The expression of an output. Raises Unsupported for outputs that are not tensors."""
    value = importer.env.get(node) if hasattr(node, "name") else node
    if not isinstance(value, relax.Expr) or not hasattr(value.ty, "dtype"):
        raise Unsupported(f"the output '{name}' is {node}, not a tensor; return tensors alone")
    return value


def io_tensor(name: str, expr: Expr) -> IoTensor:
    return IoTensor(name, tuple(int(d) for d in expr.ty.shape), str(expr.ty.dtype))
