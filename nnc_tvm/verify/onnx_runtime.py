"""ONNX models on ONNX Runtime, node by node: with its graph optimizations, kernels on uint8 activations saturate pairs of products on AVX2."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nnc_tvm.frontend.guard import read_model_file
from nnc_tvm.frontend.shapes import one_line
from nnc_tvm.package.manifest import Manifest
from nnc_tvm.verify.source import Cannot
from nnc_tvm.verify.tensor import EIGHT_BITS, Tensor

# what a quantizer appends to a tensor's name: an integer layer computes what the quantize writes, a float layer the tensor itself
SUFFIXES = {True: ("_QuantizeLinear_Output", "_DequantizeLinear_Output", ""), False: ("", "_DequantizeLinear_Output", "_QuantizeLinear_Output")}
# the inputs of operators that hold their output's scale and zero point
OUTPUT_SCALES = {"QuantizeLinear": (1, 2), "QLinearConv": (6, 7), "QLinearMatMul": (6, 7), "QGemm": (7, 8), "QLinearAdd": (6, 7), "QLinearMul": (6, 7)}


class OnnxRuntime:
    """See SourceRunner."""

    def __init__(self, model: Any, manifest: Manifest) -> None:
        import onnx
        import onnxruntime

        self.description = f"ONNX Runtime {onnxruntime.__version__}, graph optimizations disabled"
        self.tensors = match_layers(manifest, [name for node in model.graph.node for name in node.output if name])
        self.scales = dict(output_scales(model))
        known = {o.name for o in model.graph.output}
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(self.tensors.values()) if name not in known)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self.names = [o.name for o in self.session.get_outputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        values = self.session.run(self.names, dict(inputs))
        return {n: Tensor(v, *self.scales.get(n, (None, None))) for n, v in zip(self.names, values, strict=True) if isinstance(v, np.ndarray)}


def open_source(path: pathlib.Path, manifest: Manifest) -> OnnxRuntime:
    """Raises InvalidModel for broken files, Cannot where ONNX Runtime is not installed or refuses the model."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise Cannot("onnxruntime is not installed")
    from nnc_tvm.frontend.onnx_file import checked_onnx

    model, _ = checked_onnx(read_model_file(path))
    try:
        return OnnxRuntime(model, manifest)
    except Exception as error:  # ONNX Runtime raises a class of its own for every status
        raise Cannot(f"ONNX Runtime refuses the model: {one_line(error)}") from error


def match_layers(manifest: Manifest, names: list[str]) -> dict[int, str]:
    """Layer number -> the source's tensor. Layers are named after tensors, without a quantizer's suffix and with dots as underscores."""
    by_spelling = {name.replace(".", "_"): name for name in reversed(names)}
    found = {}
    for number, layer in enumerate(manifest.layers):
        spellings = [layer.name.replace(".", "_") + suffix for suffix in SUFFIXES[layer.output.dtype in EIGHT_BITS]]
        name = next((by_spelling[spelling] for spelling in spellings if spelling in by_spelling), None)
        if name is not None:
            found[number] = name
    return found


def output_scales(model: Any) -> Iterator[tuple[str, tuple[float, int]]]:
    """(tensor, (scale, zero point)) of the outputs whose operators hold them as constants, per tensor."""
    from onnx import numpy_helper

    constants = {t.name: t for t in model.graph.initializer}
    constants |= {n.output[0]: a.t for n in model.graph.node if n.op_type == "Constant" for a in n.attribute if a.name == "value"}
    for node in model.graph.node:
        place = OUTPUT_SCALES.get(node.op_type)
        if place is None or len(node.input) <= place[0] or node.input[place[0]] not in constants:
            continue
        scale = numpy_helper.to_array(constants[node.input[place[0]]])
        zero = constants.get(node.input[place[1]]) if len(node.input) > place[1] else None
        if scale.size == 1:
            yield node.output[0], (float(scale.reshape(-1)[0]), int(numpy_helper.to_array(zero).reshape(-1)[0]) if zero is not None else 0)
