"""Float networks shrink through additions and activations that have loops of their own instead of an operator."""

from __future__ import annotations

import pathlib

import numpy as np
from onnx import helper

from nnc_tvm.frontend import load
from nnc_tvm.reference import evaluate, run_program
from nnc_tvm.relay_passes.elementwise_primitives import element_of, resized
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.relay_passes.program import Program
from nnc_tvm.relay_passes.shrink_channels import shrink_channels
from nnc_tvm.schedules.operators import Primitive, TensorType
from tests.frontend.onnx_builder import model_of, save

RNG = np.random.default_rng(3)


def network(folder: pathlib.Path) -> Program:
    """Residual sum, hard-swish, a gate, concatenation, pooling and a dense head; some filters are zero, with and without a bias."""

    def weight(o: int, i: int) -> np.ndarray:
        return RNG.standard_normal((o, i, 3, 3)).astype(np.float32)

    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1] * 4), node("Relu", ["c1"], ["r1"]), node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1] * 4),
        node("Add", ["c2", "r1"], ["a"]), node("Relu", ["a"], ["r"]), node("HardSwish", ["r"], ["h"]), node("Sigmoid", ["h"], ["sg"]),
        node("Mul", ["sg", "r"], ["m"]), node("Concat", ["m", "r1"], ["cat"], axis=1), node("LeakyRelu", ["cat"], ["lr"]),
        node("MaxPool", ["lr"], ["mp"], kernel_shape=[2, 2], strides=[2, 2]), node("GlobalAveragePool", ["mp"], ["g"]), node("Flatten", ["g"], ["f"]),
        node("Gemm", ["f", "fw", "fb"], ["y"], transB=1),
    ]
    constants = {"w1": weight(8, 3), "b1": np.ones(8, np.float32), "w2": weight(8, 8), "b2": np.zeros(8, np.float32),
                 "fw": RNG.standard_normal((4, 16)).astype(np.float32), "fb": np.zeros(4, np.float32)}
    constants["w1"][[1, 2, 3]], constants["b1"][[1, 2]] = 0, -1
    constants["w2"][[2, 3, 5]] = 0
    return to_program(load(save(folder, model_of(nodes, {"x": (1, 3, 8, 8)}, ["y"], constants))).module, "float")


def test_a_float_network(tmp_path: pathlib.Path) -> None:
    program = network(tmp_path)
    small = shrink_channels(program)
    # channel 2 is 0 everywhere; channel 3 is 1, which a padded convolution reads
    assert [layer.operator.output.shape[-1] for layer in small.layers if layer.operator.macs] == [7, 7, 4]
    assert next(layer for layer in small.layers if layer.name == "cat").operator.output.shape[-1] == 14
    x = {name: RNG.standard_normal(program.values[name].type.shape).astype(np.float32) for name in program.inputs}
    wide, slim = (run_program(p, x)[p.outputs[0]] for p in (program, small))
    np.testing.assert_allclose(slim, wide, rtol=1e-5, atol=1e-5)


def test_resized_loops_compute_the_same(tmp_path: pathlib.Path) -> None:
    primitives = [layer.operator for layer in network(tmp_path).layers if isinstance(layer.operator, Primitive)]
    assert {p.name for p in primitives} >= {"add", "relu", "clip", "multiply", "sigmoid", "leakyrelu"}
    for primitive in primitives:
        assert element_of(primitive) is not None
        types = tuple(TensorType((*t.shape[:-1], 5), t.dtype) for t in primitive.inputs)
        output = TensorType((*primitive.output.shape[:-1], 5), "float32")
        part = Primitive(types, output, resized(primitive, types, output), primitive.name)
        inputs = [RNG.standard_normal(t.shape).astype(np.float32) for t in primitive.inputs]
        np.testing.assert_array_equal(evaluate(part, *(x[..., :5] for x in inputs)), evaluate(primitive, *inputs)[..., :5])
