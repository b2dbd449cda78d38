"""What every front end yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import tvm

    from nnc_tvm.schedules.quantization import Mode

Format = Literal["tflite", "onnx", "torch"]


@dataclass(frozen=True)
class IoTensor:
    """An input or output as the model declares it: its own name, layout and dtype.

    scale, zero_point: what its integers mean, None for tensors that are not quantized.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True, eq=False)
class SourceModel:
    """A model in QDQ form.

    module: its "main" takes the model's inputs alone, in order; weights are constants. A quantized operator is a float operator between
    R.dequantize and R.quantize; data movement that keeps scale and zero point may stand on the integers themselves. Variables carry the
    names of the source's tensors where it has names.
    name: the file's stem. sha256, file_bytes: of the file, followed by the external weight files it names.
    default_requantize: the meaning of requantization in the source format: "fixed" for TFLite, "float" for the others.
    inputs, outputs: in the model's order; dynamic batch is 1.
    notes: by the names of its tensors why a layer that could be quantized was left float.
    """

    module: tvm.IRModule
    name: str
    sha256: str
    file_bytes: int
    format: Format
    default_requantize: Mode
    inputs: tuple[IoTensor, ...]
    outputs: tuple[IoTensor, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
