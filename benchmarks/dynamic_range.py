"""Measures what weights of int8 under activations that are quantized at run time cost beside the same network in float.

usage: python benchmarks/dynamic_range.py [--layers] [--rounds N] [--cpus CPU...] [NETWORK...]

The networks have random weights: layers alone, and MobileNetV1 at a quarter of the width, 96 x 96 x 3. Each is compiled as it is, and with int8
weights whose activations are quantized as LiteRT's kernels do (scales per channel, asymmetric; dense layers symmetric, row by row) and as ONNX
Runtime's dynamic quantizer writes it (needs onnxruntime). CPU is host, whose figure is the middle of N medians taken by turns, in microseconds, or a
Cortex or Neoverse under qemu, whose guest instructions are counted, in thousands. --layers prints each layer's.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tvm import relax

from nnc_tvm.compiler import compile_model
from nnc_tvm.frontend.model import SourceModel
from nnc_tvm.relay_passes.dynamic_calls import dequantized, quantized, scale_and_zero
from nnc_tvm.relay_passes.graph import Rebuilder, call_with, constant, operator_name, rebuild, tensor_type
from nnc_tvm.relay_passes.qdq import dequantize
from nnc_tvm.schedules.quantization import QuantParams
from nnc_tvm.targets.registry import get_target

NNC = pathlib.Path(sys.executable).parent / "nnc-tvm"


class Graph:
    """A float ONNX graph of convolutions with ReLU6; shape is that of the tensor made last."""

    def __init__(self, *shape: int) -> None:
        self.rng, self.nodes, self.constants = np.random.default_rng(0), [], []  # type: ignore[var-annotated]
        self.shape, self.inputs, self.last = list(shape), list(shape), "x"

    def add(self, kind: str, inputs: list[str], **attributes: Any) -> None:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.last, *inputs], [name], name, **attributes))
        self.last = name

    def constant(self, values: Any) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def convolution(self, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        n, inputs, h, w = self.shape
        weight = self.rng.standard_normal((outputs, inputs // groups, kernel, kernel)) * np.sqrt(2 * groups / inputs) / kernel
        self.add("Conv", [self.constant(weight), self.constant(0.1 * self.rng.standard_normal(outputs))], strides=[stride] * 2, pads=[kernel // 2] * 4,
                 group=groups)
        self.add("Clip", [self.constant(0), self.constant(6)])
        self.shape = [n, outputs, -(-h // stride), -(-w // stride)]

    def dense(self, outputs: int) -> None:
        weight = self.rng.standard_normal((self.shape[-1], outputs)) / np.sqrt(self.shape[-1])
        self.add("MatMul", [self.constant(weight)])
        self.add("Add", [self.constant(0.1 * self.rng.standard_normal(outputs))])
        self.shape[-1] = outputs

    def model(self) -> onnx.ModelProto:
        x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in (("x", self.inputs), (self.last, self.shape)))
        return helper.make_model(helper.make_graph(self.nodes, "g", [x], [y], self.constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def convolution(channels: int, size: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> Callable[[], onnx.ModelProto]:
    def make() -> onnx.ModelProto:
        g = Graph(1, channels, size, size)
        g.convolution(outputs, kernel, stride, groups)
        return g.model()

    return make


def dense(rows: int, depth: int, outputs: int) -> Callable[[], onnx.ModelProto]:
    def make() -> onnx.ModelProto:
        g = Graph(rows, depth)
        g.dense(outputs)
        return g.model()

    return make


def mobilenet() -> onnx.ModelProto:
    g = Graph(1, 3, 96, 96)
    g.convolution(8, 3, 2)
    for outputs, stride in ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)):
        g.convolution(g.shape[1], 3, stride, g.shape[1])
        g.convolution(outputs, 1)
    g.add("GlobalAveragePool", [])
    g.add("Flatten", [])
    g.shape = [1, 256]
    g.dense(10)
    return g.model()


NETWORKS = {
    "depthwise 3x3": convolution(64, 24, 64, 3, groups=64), "depthwise 3x3, stride 2": convolution(64, 24, 64, 3, 2, 64),
    "depthwise 5x5": convolution(64, 24, 64, 5, groups=64), "1x1": convolution(64, 24, 64, 1), "3x3": convolution(32, 24, 32, 3),
    "dense of a row": dense(1, 512, 512), "dense of 32 rows": dense(32, 256, 256), "mobilenet": mobilenet,
}


def at_run_time(source: SourceModel) -> SourceModel:
    """A float model as LiteRT computes one with weights of int8."""
    def visit(r: Rebuilder, variable: Any, expr: Any) -> Any:
        w = constant(expr.args[1]) if operator_name(expr) in ("relax.nn.conv2d", "relax.matmul") else None
        if w is None:
            return expr
        matrix = operator_name(expr) == "relax.matmul"
        axis = 1 if matrix else 0
        scale = (np.abs(w).max(tuple(i for i in range(w.ndim) if i != axis)) / 127).astype(np.float32)
        shape = [-1 if i == axis else 1 for i in range(w.ndim)]
        integers = relax.const(np.rint(w / scale.reshape(shape)).astype(np.int8))
        weights = r.emit(dequantize(integers, QuantParams(scale, np.zeros(scale.shape, np.int32), "int8", axis)))
        rows = tensor_type(expr.args[0]).shape[0]
        parameters = scale_and_zero(r.emit, expr.args[0], rows, symmetric=matrix)
        return call_with(expr, [dequantized(r.emit, quantized(r.emit, expr.args[0], *parameters), *parameters), weights])

    return dataclasses.replace(source, module=rebuild(source.module, visit))


def packages(name: str, cpu: str, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The compiled network: "float", "LiteRT", and where there is onnxruntime "ONNX"."""
    target = get_target("x86_cpu", None) if cpu == "host" else get_target("arm_cpu", cpu)
    model = folder / "model.onnx"
    onnx.save(NETWORKS[name](), model)
    made = {kind: folder / kind for kind in ("float", "LiteRT")}
    compile_model(model, target, made["float"])
    compile_model(model, target, made["LiteRT"], requantize="fixed", quantize=at_run_time)
    if importlib.util.find_spec("onnxruntime"):
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(model, folder / "dynamic.onnx", ["MatMul", "Conv"], weight_type=QuantType.QUInt8)
        made["ONNX"] = folder / "ONNX"
        compile_model(folder / "dynamic.onnx", target, made["ONNX"])
    return made


def bench(package: pathlib.Path, layers: bool) -> dict[str, Any]:
    done = subprocess.run([NNC, "bench", package, "--json", *(["--layers"] if layers else [])], check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def figure(result: dict[str, Any]) -> float:
    """Thousands of instructions, or microseconds."""
    return float(result["guest_instructions"] / 1e3 if result["guest_instructions"] else result["median_ms"] * 1e3)


def measure(name: str, cpu: str, rounds: int, layers: bool, folder: pathlib.Path) -> str:
    """One line of the table."""
    made = packages(name, cpu, folder)
    turns = [{kind: bench(package, layers) for kind, package in made.items()} for _ in range(rounds if cpu == "host" else 1)]
    middle = {kind: float(np.median([figure(turn[kind]) for turn in turns])) for kind in made}
    for kind in made if layers else ():
        for row in turns[0][kind]["layers"]:
            print(f"{kind:8} {row['name']:30} {row.get('instructions', row.get('ms')):>12} {row['kernel']}")
    ratios = [f"{middle[kind]:.4g} ({middle[kind] / middle['float']:.2f})" for kind in made if kind != "float"]
    arenas = "/".join(str(turns[0][kind]["arena_bytes"]) for kind in made)
    return f"| {name} | {cpu} | {middle['float']:.4g} | {' | '.join(ratios)} | {arenas} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", choices=[[], *NETWORKS], default=[])
    parser.add_argument("--cpus", nargs="+", default=["cortex-a76", "cortex-a53", "host"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", action="store_true")
    arguments = parser.parse_args()
    print("| network | CPU | float | int8 as LiteRT (of float) | int8 as ONNX Runtime (of float) | arenas, bytes |\n|---|---|---|---|---|---|")
    for name in arguments.networks or NETWORKS:
        for cpu in arguments.cpus:
            with tempfile.TemporaryDirectory() as folder:
                print(measure(name, cpu, arguments.rounds, arguments.layers, pathlib.Path(folder)), flush=True)


if __name__ == "__main__":
    main()
