"""Writes small ONNX models, for tests that need one operator or a few."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TYPES = {"float32": TensorProto.FLOAT, "int8": TensorProto.INT8, "uint8": TensorProto.UINT8, "int32": TensorProto.INT32, "int64": TensorProto.INT64}


def value(name: str, shape: Sequence[Any] | None, dtype: str = "float32") -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TYPES[dtype], shape)


def model_of(nodes: Sequence[onnx.NodeProto], inputs: Mapping[str, Sequence[Any]], outputs: Sequence[str],
             constants: Mapping[str, Any] | None = None, opset: int = 17,
             dtype: str = "float32", output_dtype: str | None = None, domains: Sequence[str] = ()) -> onnx.ModelProto:
    """A model over inputs of one dtype; output shapes are left to inference."""
    graph = helper.make_graph(
        nodes, "g", [value(n, s, dtype) for n, s in inputs.items()], [value(n, None, output_dtype or dtype) for n in outputs],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()])
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10 if opset < 24 else 12)


def save(folder: pathlib.Path, model: onnx.ModelProto, name: str = "model.onnx") -> pathlib.Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def run_reference(path: pathlib.Path, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs by ONNX Runtime without graph optimizations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return list(onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, dict(inputs)))
