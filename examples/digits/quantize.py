"""Post-training INT8 quantization of the digits model, float32 ONNX to ONNX QDQ.

Activations: int8, asymmetric, one scale and zero point each, from the minimum and maximum seen on calibration images.
Weights: int8 in [-127, 127], symmetric, one scale per output channel. Biases: int32 of scale input_scale * weight_scale.
The scheme and its equations: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from to_onnx import IMAGE, LOGITS, checked_model

WEIGHTED = ("Conv", "Gemm")


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """ONNX Runtime on one thread, the graph as written: its fused integer kernels round differently."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def observed_ranges(model: onnx.ModelProto, images: np.ndarray) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of every activation on `images`, float32 [N, 1, 8, 8]; always with zero, which must be exact."""
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    names = [output for node in model.graph.node for output in node.output]
    del observed.graph.output[:]
    observed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    runner = session(onnx.shape_inference.infer_shapes(observed))
    ranges = {name: (0.0, 0.0) for name in [IMAGE, *names]}
    for image in images[:, None]:
        for name, array in zip([IMAGE, *names], [image, *runner.run(names, {IMAGE: image})], strict=True):
            low, high = ranges[name]
            ranges[name] = min(low, float(array.min())), max(high, float(array.max()))
    return ranges


def activation_quantization(low: float, high: float) -> tuple[np.float32, np.int8]:
    """Scale and zero point that put [low, high] on [-128, 127]: q = round(x / scale) + zero_point."""
    scale = np.float32((high - low) / 255)
    return scale, np.int8(np.clip(np.rint(-128 - low / scale), -128, 127))


def quantized_model(model: onnx.ModelProto, images: np.ndarray) -> onnx.ModelProto:
    """`model` with QuantizeLinear and DequantizeLinear around every operator, calibrated on `images`, float32 [N, 1, 8, 8]."""
    ranges = observed_ranges(model, images)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    fused = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "Relu"}  # no rounding between an operator and its ReLU
    nodes: list[onnx.NodeProto] = []
    initializers: dict[str, np.ndarray] = {}
    scales: dict[str, np.float32] = {}
    stands_for: dict[str, str] = {}  # float tensor -> its value after quantization

    def quantize(name: str, source: str, result: str) -> None:
        scales[name], zero_point = activation_quantization(*ranges[name])
        initializers[f"{name}.scale"], initializers[f"{name}.zero_point"] = np.array(scales[name]), np.array(zero_point)
        parameters = [f"{name}.scale", f"{name}.zero_point"]
        nodes.append(helper.make_node("QuantizeLinear", [source, *parameters], [f"{name}.quantized"], name=f"{name}.quantize"))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}.quantized", *parameters], [result], name=f"{name}.dequantize"))
        stands_for[name] = result

    def constant(name: str, integers: np.ndarray, scale: np.ndarray) -> str:
        initializers[f"{name}.quantized"], initializers[f"{name}.scale"] = integers, scale
        initializers[f"{name}.zero_point"] = np.zeros(scale.shape, integers.dtype)
        inputs = [f"{name}.quantized", f"{name}.scale", f"{name}.zero_point"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{name}.dequantized"], name=f"{name}.dequantize", axis=0))
        return f"{name}.dequantized"

    quantize(IMAGE, IMAGE, f"{IMAGE}.dequantized")
    for node in model.graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[0] = stands_for.get(node.input[0], node.input[0])
        if node.op_type in WEIGHTED:
            weight, bias = weights[node.input[1]], weights[node.input[2]]
            scale = (np.abs(weight).reshape(len(weight), -1).max(1) / 127).astype(np.float32)
            by_channel = scale.reshape(-1, *[1] * (weight.ndim - 1))
            copy.input[1] = constant(node.input[1], np.rint(weight / by_channel).astype(np.int8), scale)
            bias_scale = scales[node.input[0]] * scale
            copy.input[2] = constant(node.input[2], np.rint(bias / bias_scale.astype(np.float64)).astype(np.int32), bias_scale)
        else:
            copy.input[:] = [stands_for.get(name, name) for name in node.input]
        name = node.output[0]
        copy.output[0] = f"{name}.float"
        nodes.append(copy)
        if name in fused:
            stands_for[name] = f"{name}.float"
        else:
            quantize(name, f"{name}.float", LOGITS if name == LOGITS else f"{name}.dequantized")
    return checked_model(nodes, initializers, "digits_int8")
