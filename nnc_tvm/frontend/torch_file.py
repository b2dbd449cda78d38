"""torch.export's programs: from a .pt2 file, and as something that can be hashed. torch is imported when one is used, never before."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import logging
import os
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from nnc_tvm.errors import InvalidModel, MissingTool
from nnc_tvm.frontend.guard import ModelFile
from nnc_tvm.frontend.shapes import one_line

MOST_GROWTH = 100  # times a file's size; text that was compressed with another tool stays below
ExportedProgram = Any
"""torch.export.ExportedProgram"""


def is_exported_program(model: object) -> bool:
    """Whether `model` came out of torch.export.export; torch is loaded already if it did."""
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "export") and isinstance(model, torch.export.ExportedProgram)


def parse_pt2(file: ModelFile) -> ExportedProgram:
    """The program in `file`. Raises MissingTool without PyTorch, InvalidModel for a file that it cannot read."""
    check_unpacked(file.data)
    try:
        import torch
    except ImportError:
        raise MissingTool(f"{file.path.name}: reading it takes PyTorch, which is not installed; pip install nnc-tvm[torch]") from None
    try:
        with quiet(), without_pickled_code():
            register_quantized_operators()
            program = torch.export.load(io.BytesIO(file.data))
            check_weights(file.data, {**program.state_dict, **program.constants})
            return program
    except InvalidModel:
        raise
    except Exception as error:  # torch raises whatever its checks are written with
        raise InvalidModel(f"torch.export.load cannot read it: {one_line(error)}; save it again with torch.export.save") from error


def check_unpacked(data: bytes) -> None:
    """PyTorch stores members as they are, so that they come to no more than the file. Raises InvalidModel: a small archive can unpack to any size."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
        size = sum(member.file_size for member in archive.infolist())
    if size > MOST_GROWTH * len(data):
        raise InvalidModel(f"its {len(data)} bytes unpack to {size}, most of them '{largest.filename[-80:]}'; save it again with torch.export.save")


def check_weights(data: bytes, tensors: Mapping[str, Any]) -> None:
    """The archive holds every weight whole: PyTorch fills up what is missing. Raises InvalidModel."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        damaged = archive.testzip()
        if damaged is not None:
            raise InvalidModel(f"its member '{damaged}' is damaged: the checksum differs; save it again with torch.export.save")
        for name in archive.namelist():
            if not name.endswith(("_weights_config.json", "_constants_config.json")):
                continue
            for tensor, entry in json.loads(archive.read(name)).get("config", {}).items():
                if tensor in tensors and hasattr(tensors[tensor], "stride") and not entry.get("use_pickle"):
                    check_bytes(tensor, tensors[tensor], archive.getinfo(f"{name.rpartition('/')[0]}/{entry['path_name']}").file_size)


def check_bytes(name: str, tensor: Any, size: int) -> None:
    """Raises InvalidModel where `size` bytes are too few for the tensor."""
    last = tensor.storage_offset() + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    needed = (last + 1) * tensor.element_size() if tensor.numel() else 0
    if size < needed:
        raise InvalidModel(f"the tensor '{name}' {list(tensor.shape)} needs {needed} bytes, the file has {size}: it is truncated or damaged")


@contextlib.contextmanager
def without_pickled_code() -> Iterator[None]:
    """Pickles in the file may hold tensors alone: torch.export.load would run the code of a foreign file."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def register_quantized_operators() -> None:
    """A file with PT2E's operators cannot be read before they are registered, which importing them does."""
    with contextlib.suppress(ImportError):
        importlib.import_module("torch.ao.quantization.fx._decomposed")


def digest(program: ExportedProgram) -> tuple[str, int]:
    """(SHA-256, bytes) of a program in memory: its graph, parameters, buffers and constants."""
    sha, size = hashlib.sha256(str(program.graph).encode()), 0
    for name, tensor in sorted({**program.state_dict, **program.constants}.items()):
        data = tensor.detach().cpu().contiguous().numpy().tobytes() if hasattr(tensor, "detach") else b""
        sha.update(f"{name}:{len(data)}:".encode() + data)
        size += len(data)
    return sha.hexdigest(), size


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without torch's warnings and log lines, errors among them: what it raises says the same."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
