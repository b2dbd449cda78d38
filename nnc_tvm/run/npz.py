"""Arrays in .npz files."""

from __future__ import annotations

import pathlib
import zipfile
import zlib
from collections.abc import Callable, Mapping

import numpy as np

from nnc_tvm.errors import InvalidInput
from nnc_tvm.run.whole import whole

# what NumPy and zipfile raise on damaged files
DAMAGE = (ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


def read_npz(file: pathlib.Path, check: Callable[[Mapping[str, np.ndarray]], object] = lambda outlines: None) -> dict[str, np.ndarray]:
    """All arrays of the file. Raises InvalidInput where it is no .npz file of plain arrays.

    check: is handed arrays of the same names, shapes and dtypes but no values before any are read; a small file can unpack to more than the memory holds.
    """
    if not file.is_file():
        raise InvalidInput(f"{file}: no such file; numpy.savez makes one")
    try:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise InvalidInput(f"{file}: a single array without a name; write it with numpy.savez(FILE, NAME=array)")
        with loaded as arrays:
            check({name: outline(arrays.zip, name) for name in arrays.files})
            return {name: arrays[name] for name in arrays.files}
    except DAMAGE:
        raise InvalidInput(f"{file}: not an .npz file of plain arrays; numpy.savez makes one") from None
    except MemoryError as error:
        raise InvalidInput(f"{file}: {str(error) or 'larger than the memory'}; the file is damaged, or give fewer samples") from None


def outline(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array with the shape and dtype of a member that is one, and no memory; what is none has the shape (0,)."""
    member = f"{name}.npy" if f"{name}.npy" in archive.namelist() else name
    with archive.open(member) as stream:
        if stream.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            return np.empty(0)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        version = tuple(stream.read(2))
        if version not in readers:
            raise ValueError(f"version {version}")
        shape, _, dtype = readers[version](stream)
    if dtype.hasobject:
        raise ValueError("pickled objects")
    return np.broadcast_to(np.empty((), dtype), shape)


def read_npy(file: pathlib.Path) -> np.ndarray:
    """The array of an .npy file. Raises InvalidInput where it is none."""
    try:
        return np.asarray(np.load(file, allow_pickle=False))
    except DAMAGE:
        raise InvalidInput(f"{file}: not an .npy file of a plain array; numpy.save writes one") from None
    except MemoryError as error:
        raise InvalidInput(f"{file}: {str(error) or 'larger than the memory'}; the file is damaged, or give fewer samples") from None


def write_npz(file: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes the arrays, whole or not at all."""
    with whole(file) as handle, zipfile.ZipFile(handle, "w") as archive:  # numpy.savez takes no array called "file"
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
