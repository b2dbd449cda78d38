"""Measures float networks on this machine, one thread: nnc-tvm with AVX2 and with all that the CPU has, OpenVINO and ONNX Runtime beside it in the same run.

usage: python benchmarks/float_networks.py [--peers PYTHON] [--rounds N] [--optimize speed] [NETWORK...]

The networks are ResNet-18, MobileNetV2 and EfficientNet-Lite0 with random weights and batch normalizations folded, 224 x 224 x 3. PYTHON
has onnxruntime and openvino; by default the one that runs this. OpenVINO is measured twice, the second time with AVX2 alone (ONEDNN_MAX_CPU_ISA);
ONNX Runtime cannot be told. Each figure is the middle of N medians that were taken by turns.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from peers import peer_ms

NNC = pathlib.Path(sys.executable).parent / "nnc-tvm"
SIZE = 224


class Graph:
    """A float ONNX graph, NCHW, whose convolutions have random weights that keep the size of their inputs."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def constant(self, values: Any) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def convolution(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, gain: float = 1.0) -> str:
        fan = inputs // groups * kernel**2
        weight = self.rng.standard_normal((outputs, inputs // groups, kernel, kernel)) * gain * np.sqrt(2 / fan)
        operands = [x, self.constant(weight), self.constant(0.1 * self.rng.standard_normal(outputs))]
        return self.add("Conv", operands, strides=[stride] * 2, pads=[kernel // 2] * 4, group=groups)

    def relu6(self, x: str) -> str:
        return self.add("Clip", [x, self.constant(0), self.constant(6)])

    def classifier(self, x: str, inputs: int, classes: int = 1000) -> None:
        flat = self.add("Flatten", [self.add("GlobalAveragePool", [x])])
        weight = self.constant(self.rng.standard_normal((classes, inputs)) / np.sqrt(inputs))
        self.nodes.append(helper.make_node("Gemm", [flat, weight, self.constant(np.zeros(classes))], ["y"], "classifier", transB=1))

    def model(self, name: str) -> onnx.ModelProto:
        x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in (("x", [1, 3, SIZE, SIZE]), ("y", [1, 1000])))
        graph = helper.make_graph(self.nodes, name, [x], [y], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def resnet18() -> onnx.ModelProto:
    g = Graph()
    x, channels = g.add("Relu", [g.convolution("x", 3, 64, 7, 2)]), 64
    x = g.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for outputs, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        inner = g.add("Relu", [g.convolution(x, channels, outputs, 3, stride)])
        inner = g.convolution(inner, outputs, outputs, 3, gain=0.5)
        x = g.convolution(x, channels, outputs, 1, stride, gain=0.7) if outputs != channels else x
        x, channels = g.add("Relu", [g.add("Add", [inner, x])]), outputs
    g.classifier(x, channels)
    return g.model("resnet18")


def inverted(blocks: tuple[tuple[int, int, int, int, int], ...], name: str, first: int = 32, last: int = 1280) -> onnx.ModelProto:
    """A network of inverted residual blocks: (expansion, channels, repeats, stride, depthwise kernel) each. first, last: channels before and after them."""
    g = Graph()
    x, channels = g.relu6(g.convolution("x", 3, first, 3, 2)), first
    for expansion, outputs, repeats, stride, kernel in blocks:
        for k in range(repeats):
            wide, step = expansion * channels, stride if k == 0 else 1
            inner = x if expansion == 1 else g.relu6(g.convolution(x, channels, wide, 1))
            inner = g.relu6(g.convolution(inner, wide, wide, kernel, step, groups=wide))
            inner = g.convolution(inner, wide, outputs, 1, gain=0.7)
            x = g.add("Add", [inner, x]) if step == 1 and channels == outputs else inner
            channels = outputs
    g.classifier(g.relu6(g.convolution(x, channels, last, 1)), last)
    return g.model(name)


MOBILENETV2 = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3), (6, 96, 3, 1, 3), (6, 160, 3, 2, 3), (6, 320, 1, 1, 3))
EFFICIENTNET_LITE0 = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))
NETWORKS = {
    "resnet18": resnet18,
    "mobilenetv2": lambda: inverted(MOBILENETV2, "mobilenetv2"),
    "efficientnet_lite0": lambda: inverted(EFFICIENTNET_LITE0, "efficientnet_lite0"),
}


def own_ms(package: pathlib.Path) -> float:
    """Median milliseconds of `nnc-tvm bench`."""
    done = subprocess.run([NNC, "bench", package, "--json"], check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["median_ms"])


def measure(name: str, python: str, rounds: int, optimize: str, folder: pathlib.Path) -> str:
    """One line of the table."""
    model = folder / f"{name}.onnx"
    onnx.save(NETWORKS[name](), model)
    packages = {"AVX2": folder / "avx2", "native": folder / "native"}
    for cpu, package in zip(("x86-64-v3", "native"), packages.values(), strict=True):
        subprocess.run([NNC, "compile", model, "-o", package, "--target", "x86_cpu", "--mcpu", cpu, "--optimize", optimize], check=True, capture_output=True)
    turns = [
        [
            own_ms(packages["AVX2"]),
            own_ms(packages["native"]),
            peer_ms(python, "openvino", model, ONEDNN_MAX_CPU_ISA="AVX2"),
            peer_ms(python, "openvino", model),
            peer_ms(python, "onnxruntime", model),
        ]
        for _ in range(rounds)
    ]
    middle = [None if None in column else float(np.median(column)) for column in zip(*turns, strict=True)]
    return f"| {name} | {' | '.join('' if ms is None else f'{ms:.3g}' for ms in middle)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", choices=[[], *NETWORKS], default=[])
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--optimize", default="speed")
    arguments = parser.parse_args()
    print("| network, float, ms | AVX2 | native | OpenVINO, AVX2 | OpenVINO | ONNX Runtime |\n|---|---|---|---|---|---|")
    for name in arguments.networks or NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(name, arguments.peers, arguments.rounds, arguments.optimize, pathlib.Path(folder)), flush=True)


if __name__ == "__main__":
    main()
