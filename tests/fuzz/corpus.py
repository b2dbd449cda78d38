"""The models that are mutated: those that come with the project and those beside it, and small ones of every dialect and operator."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Callable

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
LARGEST = 2 << 20  # larger files take longer to mutate and find nothing that small ones do not


def corpus(extra: pathlib.Path) -> list[list[pathlib.Path]]:
    """Files by family; what is made is written into folders of `extra`. A mutation takes any family, then any of its files."""
    folders = [ROOT / "examples", ROOT.parent / "shared" / "models"]
    found = [p for folder in folders for p in sorted(folder.rglob("*")) if p.suffix in (".onnx", ".tflite") and p.stat().st_size <= LARGEST]
    makers: tuple[Callable[[pathlib.Path], list[pathlib.Path]], ...] = (
        dialects, onnx_operators, sparse_models, tflite_operators, dynamic_range_models, torch_models,
    )
    families = [found]
    for maker in makers:
        folder = extra / maker.__name__
        folder.mkdir()
        families.append(maker(folder))
    return [family for family in families if family]


def dialects(folder: pathlib.Path) -> list[pathlib.Path]:
    """Every quantized dialect of ONNX, int4 among them."""
    from tests.compiler.test_dialects import CASES, built

    found = []
    for number, (name, *_) in enumerate(CASES):
        (folder / str(number)).mkdir()
        found.append(built(name).save(folder / str(number)))
    return found


def onnx_operators(folder: pathlib.Path) -> list[pathlib.Path]:
    """ONNX's own test of every operator, the newest opset's among them; inputs after the first are constants."""
    from onnx.backend.test.loader import load_model_tests

    with np.errstate(all="ignore"):
        cases = load_model_tests(kind="node")
    found: dict[str, pathlib.Path] = {}
    for case in cases:
        model = case.model
        operator = model.graph.node[0].op_type if model.graph.node else ""
        if not operator or operator in found or not all(isinstance(x, onnx.TensorProto) for x in case.data_sets[0][0]):
            continue
        arrays = dict(zip((v.name for v in model.graph.input), case.data_sets[0][0], strict=False))
        model = onnx.ModelProto.FromString(model.SerializeToString())
        model.graph.initializer.extend(numpy_helper.from_array(np.asarray(numpy_helper.to_array(x)), name) for name, x in list(arrays.items())[1:])
        del model.graph.input[1:]
        found[operator] = folder / f"{operator}.onnx"
        found[operator].write_bytes(model.SerializeToString())
    return list(found.values())


def sparse_models(folder: pathlib.Path) -> list[pathlib.Path]:
    """Weights that are stored sparse: in blocks (TFLite), and as an initializer and a constant (ONNX)."""
    from tests.frontend.test_onnx_sparse import matmul, sparse_of
    from tests.frontend.test_tflite_sparse import densify, encoded, random_sparse

    sparse = sparse_of([1.5, -2.0, 0.25], [3, 9, 17], [4, 5])
    files = {"sparse.tflite": densify(encoded(random_sparse((8, 8), "int8", {0: 2, 1: 4}), (0, 1, 3, 2), {0: 2, 1: 4}, (1,))),
             "initializer.onnx": matmul(sparse).SerializeToString(), "node.onnx": matmul(sparse, as_node=True).SerializeToString()}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def tflite_operators(folder: pathlib.Path) -> list[pathlib.Path]:
    """TFLite's operators one by one, on integers of both dtypes."""
    from tests.compiler.tflite_cases import OPERATORS
    from tests.frontend.test_tflite_import import build

    found = []
    for number, (case, dtype) in enumerate(OPERATORS):
        found.append(folder / f"{number}.tflite")
        found[-1].write_bytes(build(case, dtype)[0])
    return found


def dynamic_range_models(folder: pathlib.Path) -> list[pathlib.Path]:
    """TFLite's int8 weights under float activations."""
    from tests.compiler.test_dynamic_range import HYBRIDS, hybrid

    found = []
    for number, name in enumerate(HYBRIDS):
        found.append(folder / f"{number}.tflite")
        found[-1].write_bytes(hybrid(name, np.random.default_rng(number), per_channel=True)[0])
    return found


def torch_models(folder: pathlib.Path) -> list[pathlib.Path]:
    """Saved torch.export programs, where PyTorch is installed."""
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    torch.set_num_threads(1)  # threads do not survive the fork
    from tests.frontend.torch_models import Attention, DynamicNet, FloatNet, PrunedNet, QuantizedNet, export

    image = torch.zeros(1, 3, 8, 8)
    programs = {"quantized": export(QuantizedNet(), image), "pruned": export(PrunedNet(), image), "float": export(FloatNet(), torch.zeros(1, 3, 16, 16)),
                "attention": export(Attention(), torch.zeros(1, 6, 16)), "dynamic": export(DynamicNet(), torch.zeros(1, 3, 9, 8))}
    for name, program in programs.items():
        torch.export.save(program, folder / f"{name}.pt2")
    return [folder / f"{name}.pt2" for name in programs]
