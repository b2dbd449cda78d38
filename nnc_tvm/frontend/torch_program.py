"""A torch.export program made ready for import: functional, its operators convertible, its constants computed, its inputs and outputs named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.shapes import listed, one_line
from nnc_tvm.frontend.torch_batch_norm import fold_batch_norm
from nnc_tvm.frontend.torch_file import ExportedProgram, quiet

Node = Any
"""torch.fx.Node"""
DECOMPOSITION_ROUNDS = 4  # what an operator is decomposed into may need it, too
DEQUANTIZE = "dequantize_"
# checks of the program on its input, which return nothing: the package's shapes and dtypes are fixed
CHECKS = ("_assert_scalar.default", "_assert_tensor_metadata.default", "sym_constrain_range_for_size.default", "sym_constrain_range.default")


@dataclass(frozen=True, eq=False)
class Prepared:
    """nodes: the graph's calls, in order. inputs: placeholder nodes. constants: tensors by node. outputs: (name, node)."""

    nodes: tuple[Node, ...]
    inputs: tuple[Node, ...]
    constants: dict[Node, Any]
    outputs: tuple[tuple[str, Node], ...]


def prepare(program: ExportedProgram, converted: Mapping[Any, object]) -> Prepared:
    """`program` with all operators in `converted`, by the name of their overload. Raises Unsupported naming the ones that cannot be.

    What depends on parameters alone is computed now: masks of torch.nn.utils.prune, parametrizations, the quantization of weights.
    Only operators without a converter are decomposed, so that layers keep the names of the model's own operators.
    """
    from torch.export.graph_signature import InputKind, OutputKind

    names = output_names(program)
    with quiet():
        program = functional(program, converted)
    signature = program.graph_signature
    mutated = [spec.target for spec in signature.output_specs if spec.kind not in (OutputKind.USER_OUTPUT, OutputKind.LOSS_OUTPUT)]
    if mutated:
        raise Unsupported(f"the model changes its state ({listed([str(m) for m in mutated])}); call model.eval() before torch.export.export")
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    tensors = {**program.state_dict, **program.constants, **program.tensor_constants}
    inputs, constants = [], {}
    for spec in signature.input_specs:
        node = placeholders[spec.arg.name]
        if spec.kind is not InputKind.USER_INPUT:
            constants[node] = tensors[spec.target].detach()
        elif hasattr(node.meta.get("val"), "shape"):
            inputs.append(node)
        else:
            raise Unsupported(f"the input '{node.name}' is {node.meta.get('val')!r}, not a tensor; make it a constant of the model")
    for node in [n for n in program.graph.nodes if n.op == "call_function" and overload(n) in CHECKS]:
        program.graph.erase_node(node)
    calls = [node for node in program.graph.nodes if node.op in ("call_function", "get_attr")]
    missing = [f"{node.name} ({overload(node)})" for node in calls if node.op == "get_attr" or overload(node) not in converted]
    if missing:
        raise Unsupported(f"operators that cannot be compiled: {listed(missing)}; replace them or cut the model before them")
    fold(calls, constants)
    fold_batch_norm(program.graph, constants)
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    results = next(node for node in program.graph.nodes if node.op == "output").args[0]
    if len(names) != len(results):
        raise InvalidModel(f"the program has {len(results)} outputs where its signature has {len(names)}; export it again")
    return Prepared(tuple(node for node in calls if node not in constants), tuple(inputs), constants, tuple(zip(names, results, strict=True)))


def functional(program: ExportedProgram, converted: Mapping[Any, object]) -> ExportedProgram:
    """`program` without operators that write in place, and with those decomposed that have no converter and a decomposition."""
    from torch.export import default_decompositions

    decompositions: dict[Any, Any] = {}
    known = default_decompositions()
    for _ in range(DECOMPOSITION_ROUNDS):
        try:
            program = program.run_decompositions(decompositions)
        except Exception as error:  # torch raises whatever its checks are written with
            raise InvalidModel(f"PyTorch cannot make the program functional: {one_line(error)}") from error
        missing = {node.target for node in program.graph.nodes if node.op == "call_function" and overload(node) not in converted}
        found = {target: known[target] for target in missing if target in known}
        if not found:
            break
        decompositions = {**decompositions, **found}
    return program


def overload(node: Node) -> str:
    """The name that converters go by: "conv2d.default"."""
    return str(getattr(node.target, "__name__", node.target))


def fold(calls: list[Node], constants: dict[Node, Any]) -> None:
    """Adds to `constants` what can be computed from them, but no dequantized weight: those stay integers."""
    import torch

    def value(node: Node) -> Any:
        return constants[node]

    for node in calls:
        random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        if random or overload(node).startswith(DEQUANTIZE) or not all(source in constants for source in node.all_input_nodes):
            continue
        with torch.no_grad():
            result = node.target(*torch.fx.map_arg(node.args, value), **torch.fx.map_arg(node.kwargs, value))
        if isinstance(result, torch.Tensor):
            constants[node] = result


def output_names(program: ExportedProgram) -> list[str]:
    """A name for each output: the keys of a dictionary, "output" for a single tensor, "output_0", "output_1", ... for several."""
    import torch.utils._pytree as pytree

    count = len(program.graph_signature.user_outputs)
    spec = program.call_spec.out_spec
    if spec is None:
        return ["output"] if count == 1 else [f"output_{i}" for i in range(count)]
    paths = [path for path, _ in pytree.tree_flatten_with_path(pytree.tree_unflatten(list(range(count)), spec))[0]]
    return [output_name(path) for path in paths]


def output_name(path: Sequence[Any]) -> str:
    """The steps from the result to one tensor, joined; positions in a tuple follow "output"."""
    import torch.utils._pytree as pytree

    steps = [str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path]
    return "_".join(steps if path and not isinstance(path[0], pytree.SequenceKey) else ["output", *steps])
