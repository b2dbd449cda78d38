"""manifest.json: what a package is, for programs. Strict when read, so that a foreign or damaged folder is named as such."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nnc_tvm.errors import InvalidInput
from nnc_tvm.package.npu_info import NpuInfo

SCHEMA_VERSION = 10
FORMAT = "nnc-tvm package"
FILE = "manifest.json"
C_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
DTYPES = frozenset({"bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"})


@dataclass(frozen=True)
class Tensor:
    """An input or output. name: the model's; identifier: its C name in the header. real = scale * (q - zero_point) where they are given."""

    name: str
    identifier: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class Model:
    """The source: its name without folders, SHA-256 of its bytes, its size and format."""

    name: str
    sha256: str
    file_bytes: int
    format: str


@dataclass(frozen=True)
class TargetInfo:
    """What the package is compiled for, and the tools that link and run it on another machine. optimize, emit: as in targets.base.Target."""

    kind: str
    mcpu: str
    triple: str
    toolchain_prefix: str
    emulator: tuple[str, ...]
    debian_packages: tuple[str, ...]
    compiler_flags: tuple[str, ...]
    optimize: str
    emit: str


@dataclass(frozen=True)
class Kernel:
    """One call: the C function, what it is for people, how many pointers it takes, and whether it may fail: the last pointer but one is then to an
    int32 that is not 0 where it did. parts: how often it is called, with the number of the part behind the pointers; a kernel of one part has no number."""

    symbol: str
    description: str
    arguments: int
    may_fail: bool
    parts: int = 1


@dataclass(frozen=True)
class TensorInfo:
    """A layer's input or output. real = scale * (q - zero_point) where they are given."""

    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class FormInfo:
    """A form that a layer can take: its name, its estimated instructions, and the bytes of its packed weights."""

    form: str
    cost: float
    weight_bytes: int


@dataclass(frozen=True)
class SumInfo:
    """A convolution or dense layer: the shape of its weights, (O, KH, KW, C / groups) or (O, K), and what else its cost depends on.

    zeros: the share of weights that are zero. largest: their largest magnitude, rounded up; 0 where all are zero.
    """

    weight: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    zeros: float
    largest: int


@dataclass(frozen=True)
class LayerInfo:
    """A row of the per-layer table.

    op: operator; form: how its weights are stored ("dense", ""where it has none); forms: what it was chosen from, itself first;
    macs: multiply-accumulates of one inference; bytes: constants as packed; kernel: descriptions of its kernels; why: what to know about the choice.
    sums: the convolutions and dense layers that it computes.
    """

    name: str
    op: str
    form: str
    forms: tuple[FormInfo, ...]
    inputs: tuple[TensorInfo, ...]
    output: TensorInfo
    macs: int
    bytes: int
    kernel: str
    kernels: tuple[Kernel, ...]
    why: str
    sums: tuple[SumInfo, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """arena_lower_bound_bytes: live bytes of the fullest step, which no planner can go below. weights_bytes: read-only data.
    code_bytes: machine code of the kernels and the graph, None where the user's compiler makes it. sources, libraries: the package's C files
    and archives. requantize: "fixed" or "float". libm: its functions that kernels call. threads: that run the package together, at most."""

    format: str
    schema_version: int
    name: str
    model: Model
    target: TargetInfo
    requantize: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    arena_bytes: int
    arena_alignment: int
    arena_lower_bound_bytes: int
    weights_bytes: int
    code_bytes: int | None
    sources: tuple[str, ...]
    libraries: tuple[str, ...]
    libm: tuple[str, ...]
    threads: int
    layers: tuple[LayerInfo, ...]
    npu: NpuInfo | None


def to_json(manifest: Manifest) -> str:
    """The manifest as text; equal manifests give equal bytes."""
    return json.dumps(dataclasses.asdict(manifest), indent=1) + "\n"


def read_manifest(folder: pathlib.Path) -> Manifest:
    """The manifest of the package in `folder`. Raises InvalidInput saying what is wrong with the folder or the file."""
    file = folder / FILE
    if not folder.exists():
        raise InvalidInput(f"{folder}: no such folder; `nnc-tvm compile MODEL -o {folder}` makes a package")
    if not file.is_file():
        raise InvalidInput(f"{folder}: not an nnc-tvm package (no {FILE}); `nnc-tvm compile` makes one")
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{file}: damaged, not JSON ({error}); compile the model again") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InvalidInput(f"{file}: not the manifest of an nnc-tvm package (format is not {FORMAT!r})")
    if data.get("schema_version") != SCHEMA_VERSION:
        raise InvalidInput(f"{file}: schema version {data.get('schema_version')!r}, this nnc-tvm reads {SCHEMA_VERSION}; compile the model again")
    manifest = _read(Manifest, data, str(file), "")
    assert isinstance(manifest, Manifest)
    for what, value in _unsound(manifest):
        raise InvalidInput(f"{file}: damaged, {what} is {str(value)[:40]!r}; compile the model again")
    return manifest


def _unsound(manifest: Manifest) -> Iterator[tuple[str, Any]]:
    """(what, value) of entries that no package has: they would become C, file names and sizes."""
    tensors: list[tuple[str, Tensor | TensorInfo]] = [(f"the tensor {t.name[:40]!r}", t) for t in (*manifest.inputs, *manifest.outputs)]
    tensors += [(f"the output of layer {layer.name[:40]!r}", layer.output) for layer in manifest.layers]
    names = [manifest.name, *(t.identifier for t in (*manifest.inputs, *manifest.outputs)), *(k.symbol for x in manifest.layers for k in x.kernels)]
    yield from (("a name in C", name) for name in names if not C_NAME.fullmatch(name))
    for what, tensor in tensors:
        if tensor.dtype not in DTYPES:
            yield f"the dtype of {what}", tensor.dtype
        if not all(0 < d < 1 << 31 for d in tensor.shape):
            yield f"the shape of {what}", tensor.shape
    for part in (*manifest.sources, *manifest.libraries):
        if pathlib.PurePosixPath(part).is_absolute() or ".." in pathlib.PurePosixPath(part).parts:
            yield "a file of the package", part
    if not manifest.inputs or not manifest.outputs:
        yield "the number of inputs or outputs", 0


def is_package(folder: pathlib.Path) -> bool:
    """Whether `folder` holds a package of any version, readable or not."""
    try:
        data = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(data, dict) and data.get("format") == FORMAT


def _read(kind: Any, data: Any, file: str, where: str) -> Any:
    """`data` as the type `kind`: dataclasses, tuples of one type, optional and plain values."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        if isinstance(data, dict):
            for name in [*(n for n in hints if n not in data), *(n for n in data if n not in hints)]:
                problem = "unknown entry" if name in data else "missing entry"
                raise InvalidInput(f"{file}: damaged, {problem} {where + name!r}; compile the model again")
            return kind(**{name: _read(hint, data[name], file, f"{where}{name}.") for name, hint in hints.items()})
    elif typing.get_origin(kind) is tuple:
        if isinstance(data, list):
            return tuple(_read(typing.get_args(kind)[0], item, file, f"{where}{i}.") for i, item in enumerate(data))
    elif isinstance(kind, types.UnionType):
        return None if data is None else _read(typing.get_args(kind)[0], data, file, where)
    elif (type(data) is kind) or (kind is float and type(data) is int):
        return kind(data)
    raise InvalidInput(f"{file}: damaged, {where.rstrip('.')!r} is {type(data).__name__} {str(data)[:40]!r}; compile the model again")
