"""Batch normalization behind a convolution goes into its weights and bias.

y = gamma * (conv(x) - mean) / sqrt(variance + epsilon) + beta is a convolution with weights w * f and bias (b - mean) * f + beta,
f = gamma / sqrt(variance + epsilon) per output channel (Jacob et al., CVPR 2018, section 3.2).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from nnc_tvm.frontend.onnx_passes.graph import attributes, initializers, reader_counts, replace_nodes, set_initializer


def fold_batch_norm(model: onnx.ModelProto) -> None:
    """Folds where the convolution's float weights are constant and nothing else reads its output."""
    graph = model.graph
    makers = {o: n for n in graph.node for o in n.output}
    removed: set[str] = set()
    for node in graph.node:
        constants, readers = initializers(graph), reader_counts(graph)
        conv = makers.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        if conv is None or conv.op_type != "Conv" or readers[conv.output[0]] > 1 or not all(n in constants for n in (*conv.input[1:], *node.input[1:]) if n):
            continue
        gamma, beta, mean, variance = (numpy_helper.to_array(constants[n]).astype(np.float64) for n in node.input[1:5])
        factor = gamma / np.sqrt(variance + attributes(node).get("epsilon", 1e-5))
        weight = numpy_helper.to_array(constants[conv.input[1]])
        has_bias = len(conv.input) > 2 and conv.input[2] != ""
        bias = numpy_helper.to_array(constants[conv.input[2]]).astype(np.float64) if has_bias else np.zeros(len(factor))
        # new names: the old tensors may be shared with other convolutions
        weight_name, bias_name = f"{conv.output[0]}::weight", f"{conv.output[0]}::bias"
        set_initializer(graph, weight_name, (weight * factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32))
        set_initializer(graph, bias_name, ((bias - mean) * factor + beta).astype(np.float32))
        conv.input[:] = [conv.input[0], weight_name, bias_name]
        conv.output[0] = node.output[0]
        removed.add(node.output[0])
    replace_nodes(graph, [n for n in graph.node if n.op_type != "BatchNormalization" or n.output[0] not in removed])
