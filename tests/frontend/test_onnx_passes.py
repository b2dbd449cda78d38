"""Each pass on the ONNX graph, before and after."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_passes import PASSES
from nnc_tvm.frontend.onnx_passes.expand_functions import expand_functions
from nnc_tvm.frontend.onnx_passes.fix_batch import fix_batch
from nnc_tvm.frontend.onnx_passes.fold_batch_norm import fold_batch_norm
from nnc_tvm.frontend.onnx_passes.fold_constants import fold_constants
from nnc_tvm.frontend.onnx_passes.graph import attributes
from nnc_tvm.frontend.onnx_passes.remove_dead import remove_dead
from nnc_tvm.frontend.onnx_passes.remove_identity import remove_identity
from nnc_tvm.frontend.onnx_passes.resolve_auto_pad import resolve_auto_pad
from nnc_tvm.frontend.onnx_passes.upgrade_opset import upgrade_opset
from tests.frontend.onnx_builder import model_of

SEED = 22
node = helper.make_node


def kinds(model: onnx.ModelProto) -> list[str]:
    return [n.op_type for n in model.graph.node]


def randn(*shape: int) -> np.ndarray:
    return np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return np.asarray(ReferenceEvaluator(model).run(None, {"x": x})[0])


def test_shape_chain_becomes_a_constant() -> None:
    """The flatten that PyTorch exports: Shape, Gather, Unsqueeze, Concat, Reshape; with a dynamic batch."""
    nodes = [node("Shape", ["x"], ["s"]), node("Constant", [], ["zero"], value=numpy_helper.from_array(np.int64(0))), node("Gather", ["s", "zero"], ["n"]),
             node("Unsqueeze", ["n", "axis"], ["n1"]), node("Concat", ["n1", "rest"], ["t"], axis=0), node("Reshape", ["x", "t"], ["y"])]
    model = model_of(nodes, {"x": ["N", 3, 4]}, ["y"], {"axis": np.array([0]), "rest": np.array([-1])})
    x = randn(1, 3, 4)
    expected = run(model, x)
    fix_batch(model)
    fold_constants(model)
    assert kinds(model) == ["Reshape"]
    np.testing.assert_array_equal(run(model, x), expected)


def test_quantized_weights_stay_integers() -> None:
    """QuantizeLinear of constant weights is folded, DequantizeLinear is not."""
    nodes = [node("QuantizeLinear", ["w", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["d"]), node("MatMul", ["x", "d"], ["y"])]
    model = model_of(nodes, {"x": [2, 4]}, ["y"], {"w": randn(4, 3), "s": np.float32(0.02), "z": np.int8(0)})
    fold_constants(model)
    assert kinds(model) == ["DequantizeLinear", "MatMul"]
    folded = next(t for t in model.graph.initializer if t.name == "q")
    assert folded.data_type == onnx.TensorProto.INT8


def test_batch_norm_goes_into_the_convolution() -> None:
    nodes = [node("Conv", ["x", "w"], ["c"]), node("BatchNormalization", ["c", "g", "b", "m", "v"], ["y"], epsilon=1e-3), node("Relu", ["y"], ["z"])]
    model = model_of(nodes, {"x": [1, 3, 6, 6]}, ["z"], {"w": randn(5, 3, 3, 3), "g": randn(5), "b": randn(5) * 2, "m": randn(5), "v": np.abs(randn(5)) + 0.1})
    x = randn(1, 3, 6, 6)
    expected = run(model, x)
    fold_batch_norm(model)
    assert kinds(model) == ["Conv", "Relu"]
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_stays_where_the_convolution_is_shared() -> None:
    nodes = [node("Conv", ["x", "w"], ["c"]), node("BatchNormalization", ["c", "v", "v", "v", "v"], ["y"]), node("Add", ["y", "c"], ["z"])]
    model = model_of(nodes, {"x": [1, 3, 6, 6]}, ["z"], {"w": randn(5, 3, 3, 3), "v": np.ones(5, np.float32)})
    fold_batch_norm(model)
    assert kinds(model) == ["Conv", "BatchNormalization", "Add"]


@pytest.mark.parametrize(("mode", "pads"), [("SAME_UPPER", [0, 1, 1, 1]), ("SAME_LOWER", [1, 1, 0, 1]), ("VALID", [0, 0, 0, 0])])
def test_auto_pad(mode: str, pads: list[int]) -> None:
    """9 x 7 with a 2 x 3 window: an odd element of padding at the end or the beginning."""
    model = model_of([node("Conv", ["x", "w"], ["y"], auto_pad=mode)], {"x": [1, 3, 9, 7]}, ["y"], {"w": randn(4, 3, 2, 3)})
    resolve_auto_pad(model)
    assert attributes(model.graph.node[0]) == {"pads": pads}


def test_identities_and_dead_nodes_go() -> None:
    nodes = [node("Identity", ["x"], ["a"]), node("Dropout", ["a"], ["b"]), node("Cast", ["b"], ["c"], to=onnx.TensorProto.FLOAT), node("Relu", ["c"], ["y"]),
             node("Neg", ["dead"], ["unused"])]
    model = model_of(nodes, {"x": [1, 4]}, ["y"], {"dead": randn(4)})
    onnx.shape_inference.infer_shapes(model)
    fix_batch(model)
    remove_identity(model)
    remove_dead(model)
    assert kinds(model) == ["Relu"] and model.graph.node[0].input[0] == "x" and not model.graph.initializer


def test_an_identity_that_makes_an_output_stays() -> None:
    model = model_of([node("Identity", ["x"], ["y"])], {"x": [1, 4]}, ["y"])
    remove_identity(model)
    assert kinds(model) == ["Identity"]


def test_old_operator_sets_are_upgraded() -> None:
    model = model_of([node("Clip", ["x"], ["y"], min=0.0, max=6.0)], {"x": [1, 4]}, ["y"], opset=8)
    upgrade_opset(model)
    assert model.opset_import[0].version == 13
    np.testing.assert_array_equal(run(model, np.array([[-1, 1, 7, 6]], np.float32)), [[0, 1, 6, 6]])


def test_other_dynamic_extents_are_refused() -> None:
    with pytest.raises(Unsupported, match="'W'.*axis 3.*fixed"):
        fix_batch(model_of([node("Relu", ["x"], ["y"])], {"x": ["N", 3, 8, "W"]}, ["y"]))


def test_passes_have_docstrings() -> None:
    assert all(p.__module__.split(".")[-1] == p.__name__ for p in PASSES)


@pytest.mark.parametrize("given", [{"output_shape": [11, 9]}, {"output_shape": [9, 8], "auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"},
                                   {"auto_pad": "SAME_UPPER", "dilations": [2, 1]}, {"auto_pad": "VALID"}, {"output_padding": [1, 1]}], ids=str)
def test_shapes_of_transposed_convolutions(given: dict[str, object]) -> None:
    model = model_of([node("ConvTranspose", ["x", "w"], ["y"], "up", strides=[2, 2], **given)], {"x": [1, 3, 5, 4]}, ["y"], {"w": randn(3, 2, 3, 3)})
    x = randn(1, 3, 5, 4)
    expected = run(model, x)
    resolve_auto_pad(model)
    assert not {"auto_pad", "output_shape"} & attributes(model.graph.node[0]).keys()
    np.testing.assert_allclose(run(model, x), expected, atol=1e-6)


def test_definitions_are_written_out_with_defaults_constants_and_inputs_left_out() -> None:
    """Attention with a constant mask and a past in place of an input that is left out; SwiGLU by its default alpha."""
    mask = np.where(np.tri(4, 7, 3, dtype=bool), np.float32(0), np.float32(-np.inf))
    nodes = [node("Attention", ["x", "k", "v", "", "x", "x"], ["a", "p", "q"]), node("Attention", ["a", "p", "q", "mask"], ["b"]),
             node("SwiGLU", ["b", "x"], ["y"])]
    model = model_of(nodes, {"x": [1, 2, 4, 8]}, ["y"], {"k": randn(1, 2, 3, 8), "v": randn(1, 2, 3, 8), "mask": mask}, 28)
    x = randn(1, 2, 4, 8)
    wanted = run(model, x)
    expand_functions(model)
    assert not {"Attention", "SwiGLU"} & set(kinds(model))
    np.testing.assert_allclose(run(model, x), wanted, rtol=1e-5, atol=1e-6)
