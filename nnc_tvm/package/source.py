"""What packaging knows about the source model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class SourceTensor(Protocol):
    """An input or output under the model's own name. scale and zero_point: None where its elements are not quantized."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def scale(self) -> float | None: ...
    @property
    def zero_point(self) -> int | None: ...


class Source(Protocol):
    """name: of the file or model; sha256 and file_bytes: of the file; format: "tflite", "onnx", ..."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def file_bytes(self) -> int: ...
    @property
    def format(self) -> str: ...
    @property
    def inputs(self) -> Sequence[SourceTensor]: ...
    @property
    def outputs(self) -> Sequence[SourceTensor]: ...
