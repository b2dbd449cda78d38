"""DigitsNet as a float32 ONNX model, written node by node, batch normalizations folded into their convolutions."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from network import DigitsNet
from onnx import TensorProto, helper, numpy_helper
from torch import nn

OPSET = 17
IMAGE, LOGITS = "image", "logits"


def folded(block: nn.Sequential) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of one convolution equal to convolution and batch normalization (running statistics).

    y = g * (w x - mean) / sqrt(var + eps) + b, so w' = w * g / sqrt(var + eps) and b' = b - mean * g / sqrt(var + eps).
    """
    convolution, norm = block
    factor = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    weight = convolution.weight.double() * factor.reshape(-1, 1, 1, 1)
    bias = norm.bias.double() - norm.running_mean.double() * factor
    return weight.detach().float().numpy(), bias.detach().float().numpy()


def checked_model(nodes: list[onnx.NodeProto], initializers: dict[str, np.ndarray], name: str) -> onnx.ModelProto:
    """ONNX model from `image` float32 [1, 1, 8, 8] to `logits` float32 [1, 10], checked by onnx."""
    graph = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(array, key) for key, array in initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="nnc-tvm-example")
    onnx.checker.check_model(model, full_check=True)
    return model


def float_model(network: DigitsNet) -> onnx.ModelProto:
    """The trained `network` (in eval mode) as float32 ONNX."""
    nodes: list[onnx.NodeProto] = []
    initializers: dict[str, np.ndarray] = {}

    def node(kind: str, output: str, *inputs: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def convolution(name: str, source: str) -> str:
        block = getattr(network, name)
        initializers[f"{name}.weight"], initializers[f"{name}.bias"] = folded(block)
        layer = block[0]
        return node("Conv", name, source, f"{name}.weight", f"{name}.bias", kernel_shape=list(layer.kernel_size), strides=list(layer.stride),
                    pads=[*layer.padding, *layer.padding], group=layer.groups)

    def relu(source: str) -> str:
        return node("Relu", f"{source}.relu", source)

    stem = relu(convolution("stem", IMAGE))
    residual = convolution("residual_pointwise", relu(convolution("residual_depthwise", stem)))
    joined = relu(node("Add", "residual", stem, residual))
    features = relu(convolution("down_pointwise", relu(convolution("down_depthwise", joined))))
    pooled = node("Flatten", "features", node("GlobalAveragePool", "pool", features))
    initializers["classifier.weight"] = network.classifier.weight.detach().numpy()
    initializers["classifier.bias"] = network.classifier.bias.detach().numpy()
    node("Gemm", LOGITS, pooled, "classifier.weight", "classifier.bias", transB=1)
    return checked_model(nodes, initializers, "digits_float")
