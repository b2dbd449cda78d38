"""Sparse tensors of .tflite files: every order of traversal, blocks, index width; and what is wrong with them, in one line."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend import load
from nnc_tvm.frontend.guard import read_model_file
from nnc_tvm.frontend.tflite_file import parse_tflite
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.pipeline import to_program
from tests.frontend.test_tflite_import import conv
from tests.tflite_builder import Node, Sparsity, Tensor, build_model, constant, run_reference

SEED = 17


def encoded(dense: np.ndarray, order: Sequence[int], blocks: dict[int, int], compressed: Sequence[int], width: int = 32) -> Tensor:
    """`dense` as a sparse tensor. blocks: dimension -> block size. compressed: the dimensions stored as CSR."""
    block_map = list(blocks)
    split: list[int] = []
    axes: dict[int, int] = {}
    for d, extent in enumerate(dense.shape):
        axes[d] = len(split)
        split.append(extent // blocks.get(d, 1))
        if d in blocks:
            axes[dense.ndim + block_map.index(d)] = len(split)
            split.append(blocks[d])
    walked = dense.reshape(split).transpose([axes[d] for d in order])
    places = [walked]
    levels: list[int | tuple[list[int], list[int]]] = []
    for dimension in order:
        if dimension not in compressed:
            levels.append(places[0].shape[0] if places else 0)
            places = [part for place in places for part in place]
            continue
        segments, indices, kept = [0], [], []
        for place in places:
            for i, part in enumerate(place):
                if np.any(part):
                    indices.append(i)
                    kept.append(part)
            segments.append(len(indices))
        levels.append((segments, indices))
        places = kept
    return Tensor("s", dense.shape, str(dense.dtype), data=np.array(places, dense.dtype), sparsity=Sparsity(list(order), block_map, levels, width))


def random_sparse(shape: tuple[int, ...], dtype: str, blocks: dict[int, int], seed: int = SEED) -> np.ndarray:
    """Blocks of zeros, about two thirds."""
    print("seed", seed)
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 100, shape).astype(dtype)
    kept = rng.random([e // blocks.get(d, 1) for d, e in enumerate(shape)]) < 0.35
    for d, size in blocks.items():
        kept = kept.repeat(size, d)
    return values * kept.astype(dtype)


def densify(sparse: Tensor) -> bytes:
    """x times the densified matrix, or convolved with the densified kernel."""
    shape, x_scale = sparse.shape, None if sparse.dtype == "float32" else 0.02
    scaled = replace(sparse, scale=x_scale)
    w = Tensor("w", shape, sparse.dtype, x_scale)
    bias = constant("b", np.arange(shape[0], dtype=np.float32))
    if len(shape) == 2:
        tensors = [Tensor("x", (3, shape[1]), "float32"), scaled, w, bias, Tensor("y", (3, shape[0]), "float32")]
        node = Node("FULLY_CONNECTED", ("x", "w", "b"), ("y",), ("FullyConnectedOptions", {}), 3)
    else:
        tensors = [Tensor("x", (1, 6, 5, shape[3]), "float32"), scaled, w, bias, Tensor("y", (1, 6, 5, shape[0]), "float32")]
        node = Node("CONV_2D", ("x", "w", "b"), ("y",), conv(), 3)
    return build_model(tensors, [Node("DENSIFY", ("s",), ("w",), ("DensifyOptions", {})), node], ["x"], ["y"])


FORMS: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[int, int], tuple[int, ...]]] = [
    ("rows of CSR", (6, 9), (0, 1), {}, (1,)),
    ("columns of CSR", (6, 9), (1, 0), {}, (0,)),
    ("both levels compressed", (6, 9), (0, 1), {}, (0, 1)),
    ("all dense", (3, 4), (1, 0), {}, ()),
    ("blocks of 1 by 4", (6, 8), (0, 1, 2), {1: 4}, (1,)),
    ("blocks of 4 by 1, columns first", (8, 5), (1, 0, 2), {0: 4}, (0,)),
    ("blocks of 2 by 4, columns first within", (8, 8), (0, 1, 3, 2), {0: 2, 1: 4}, (1,)),
    ("blocks walked before the matrix", (8, 8), (2, 0, 1), {1: 2}, (1,)),
    ("a kernel, channels compressed", (4, 3, 3, 8), (0, 1, 2, 3), {}, (3,)),
    ("a kernel in blocks, taps first", (4, 3, 2, 8), (1, 2, 0, 3, 4, 5), {0: 2, 3: 4}, (3, 0)),
]


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize(("shape", "order", "blocks", "compressed"), [f[1:] for f in FORMS], ids=[f[0] for f in FORMS])
def test_every_form_is_read(shape: tuple[int, ...], order: tuple[int, ...], blocks: dict[int, int], compressed: tuple[int, ...], dtype: str,
                            tmp_path: pathlib.Path) -> None:
    dense = random_sparse(shape, dtype, blocks)
    path = tmp_path / "model.tflite"
    for width in (8, 16, 32):
        path.write_bytes(densify(encoded(dense, order, blocks, compressed, width)))
        model = parse_tflite(read_model_file(path))
        values = {t.name: t.data for t in model.tensors}
        np.testing.assert_array_equal(values["s"], dense)
        np.testing.assert_array_equal(values["w"], dense)
        assert [op.code for op in model.operators] == ["FULLY_CONNECTED" if len(shape) == 2 else "CONV_2D"]


@pytest.mark.parametrize("shape", [(6, 9), (4, 3, 3, 8)])
def test_layers_with_sparse_weights(shape: tuple[int, ...], tmp_path: pathlib.Path) -> None:
    """DENSIFY before a layer, and a dense layer that reads the sparse tensor itself, as LiteRT computes them."""
    pytest.importorskip("ai_edge_litert")
    dense = random_sparse(shape, "float32", {})
    sparse = encoded(dense, range(len(shape)), {}, (len(shape) - 1,))
    x = np.random.default_rng(SEED).standard_normal((3, 9) if len(shape) == 2 else (1, 6, 5, 8)).astype(np.float32)
    models = [densify(sparse)]
    if len(shape) == 2:
        tensors = [Tensor("x", (3, 9), "float32"), sparse, constant("b", np.arange(6, dtype=np.float32)), Tensor("y", (3, 6), "float32")]
        models.append(build_model(tensors, [Node("FULLY_CONNECTED", ("x", "s", "b"), ("y",), ("FullyConnectedOptions", {}), 8)], ["x"], ["y"]))
    for data in models:
        (tmp_path / "model.tflite").write_bytes(data)
        program = to_program(load(tmp_path / "model.tflite").module, "fixed")
        np.testing.assert_allclose(run_program(program, {"x": x})[program.outputs[0]], run_reference(data, {"x": x})["y"], rtol=1e-5, atol=1e-4)


GOOD = encoded(np.array([[0, 5, 0], [7, 0, 9]], np.float32), (0, 1), {}, (1,))  # segments 0 1 3, indices 1 0 2
BLOCKS = encoded(random_sparse((4, 8), "float32", {1: 4}), (0, 1, 2), {1: 4}, (1,))


def changed(tensor: Tensor, **fields: object) -> Tensor:
    assert tensor.sparsity is not None
    return replace(tensor, sparsity=replace(tensor.sparsity, **fields))


BROKEN: list[tuple[str, Tensor, str]] = [
    ("index out of range", changed(GOOD, levels=[2, ([0, 1, 3], [1, 0, 3])]), r"the index 3 lies outside its 3 places"),
    ("negative index", changed(GOOD, levels=[2, ([0, 1, 3], [1, -1, 2])]), r"the index -1 lies outside"),
    ("unsorted", changed(GOOD, levels=[2, ([0, 1, 3], [1, 2, 0])]), r"the index 0 follows 2; indices rise"),
    ("twice", changed(GOOD, levels=[2, ([0, 1, 3], [1, 2, 2])]), r"the index 2 follows 2"),
    ("falling segments", changed(GOOD, levels=[2, ([0, 4, 3], [1, 0, 2])]), r"do not run from 0 to its 3 indices"),
    ("segments beyond", changed(GOOD, levels=[2, ([0, 1, 9], [1, 0, 2])]), r"do not run from 0 to its 3"),
    ("too few segments", changed(GOOD, levels=[2, ([0, 3], [1, 0, 2])]), r"2 segment ends for 2 places"),
    ("another shape", replace(GOOD, shape=(3, 3)), r"\[3, 3\]: dimension 0 has 2 places where its shape and blocks make 3"),
    ("a value too few", replace(GOOD, data=np.float32([5, 7])), r"indices are those of 3 values, its buffer has 8 bytes"),
    ("no order", changed(GOOD, order=[0, 0]), r"the traversal order \[0, 0\]"),
    ("a level too few", changed(GOOD, levels=[2]), r"1 levels for a traversal of 2"),
    ("blocks on no dimension", changed(BLOCKS, block_map=[5]), r"the block map \[5\]"),
    ("blocks that do not divide", replace(BLOCKS, shape=(4, 9)), r"blocks of 4 elements on dimension 1"),
    ("a dense level without end", changed(GOOD, levels=[2, 1 << 30]), r"has 1073741824 places where its shape and blocks make 3"),
    ("huge", replace(changed(GOOD, levels=[1 << 20, 1 << 9]), shape=(1 << 20, 1 << 9)), r"extents that no dense|more than the file stores"),
    ("huge but for its values", replace(changed(GOOD, levels=[1 << 14, 1 << 14]), shape=(1 << 14, 1 << 14)), r"more than the file stores"),
]


@pytest.mark.parametrize(("sparse", "says"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_what_does_not_fit_is_named(sparse: Tensor, says: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(densify(sparse))
    with pytest.raises(InvalidModel, match=says) as error:
        load(path)
    assert "\n" not in str(error.value) and "'s'" in str(error.value)


def test_densify_of_what_is_computed(tmp_path: pathlib.Path) -> None:
    tensors = [Tensor("x", (2, 3), "float32"), Tensor("y", (2, 3), "float32")]
    (tmp_path / "model.tflite").write_bytes(build_model(tensors, [Node("DENSIFY", ("x",), ("y",), ("DensifyOptions", {}))], ["x"], ["y"]))
    with pytest.raises(InvalidModel, match="DENSIFY.*reads 'x', which is not constant"):
        load(tmp_path / "model.tflite")


def test_nothing_but_zeros(tmp_path: pathlib.Path) -> None:
    """A buffer without values is absent from the file."""
    sparse = replace(encoded(np.zeros((2, 3), np.float32), (0, 1), {}, (1,)), data=None)
    (tmp_path / "model.tflite").write_bytes(densify(sparse))
    model = parse_tflite(read_model_file(tmp_path / "model.tflite"))
    assert not np.any(next(t.data for t in model.tensors if t.name == "s"))
