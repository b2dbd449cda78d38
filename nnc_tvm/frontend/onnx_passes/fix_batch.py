"""A dynamic batch becomes 1, or what the user asks for."""

from __future__ import annotations

import onnx

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_passes.graph import infer_shapes, initializers


def set_batch(model: onnx.ModelProto, batch: int) -> None:
    """Sets the first extent of every input to `batch` where the file leaves it open. Raises Unsupported where it is another number."""
    constants = initializers(model.graph)
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name in constants or not dims:
            continue
        if dims[0].HasField("dim_value") and dims[0].dim_value != batch:
            raise Unsupported(f"the input '{value.name}' has the fixed batch {dims[0].dim_value}, not {batch}; export the model with a dynamic batch")
        dims[0].dim_value = batch


def fix_batch(model: onnx.ModelProto) -> None:
    """Sets the first extent of every input to 1 where the file leaves it open. Raises Unsupported when another extent is open."""
    constants = initializers(model.graph)
    for value in model.graph.input:
        if value.name in constants:
            continue
        if not value.type.HasField("tensor_type"):
            raise Unsupported(f"the input '{value.name}' is not a tensor; only tensors can be inputs")
        kind = value.type.tensor_type
        for axis, dim in enumerate(kind.shape.dim):
            if dim.HasField("dim_value"):
                continue
            if axis > 0:
                what = f"'{dim.dim_param}'" if dim.dim_param else "without a value"
                raise Unsupported(f"the input '{value.name}' has the dynamic extent {what} on axis {axis}; "
                                  "only the batch may be dynamic, export the model with fixed sizes")
            dim.dim_value = 1
    # initializers that older exporters list among the inputs are constants
    kept = [v for v in model.graph.input if v.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    infer_shapes(model)
