"""A package appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator

from nnc_tvm.errors import InvalidInput
from nnc_tvm.package.manifest import is_package


def check_output(output: pathlib.Path) -> None:
    """Raises InvalidInput where a package may not be written: over a file, or over a folder that holds something else."""
    if output.is_dir():
        if any(output.iterdir()) and not is_package(output):
            raise InvalidInput(f"{output}: the folder is not empty and holds no nnc-tvm package; choose another with -o")
    elif output.exists() or output.is_symlink():
        raise InvalidInput(f"{output}: exists and is not a folder; choose another name with -o")
    else:
        parent = next(p for p in output.absolute().parents if p.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise InvalidInput(f"{output}: {parent} is not a folder that can be written to; choose another place with -o")


@contextlib.contextmanager
def writing(place: pathlib.Path, temporary: pathlib.Path) -> Iterator[None]:
    """Errors of the file system in the block name `place` where they would name what stands in for it, or nothing. Raises InvalidInput."""
    try:
        yield
    except BrokenPipeError:  # a reader of our messages is gone
        raise
    except OSError as error:
        if error.filename is not None and not str(error.filename).startswith(str(temporary)):
            raise
        raise InvalidInput(f"{place}: cannot be written: {error.strerror or error}; free some space there, or choose another place") from error


@contextlib.contextmanager
def replacing(output: pathlib.Path) -> Iterator[pathlib.Path]:
    """A new folder beside `output` to write into; becomes `output` at the end of the block, and vanishes where that raises.

    A package that stood there before stays until the new one is complete.
    """
    check_output(output)
    output = pathlib.Path(os.path.abspath(output))  # "." has no name
    parent = output.parent
    made = [p for p in (parent, *parent.parents) if not p.exists()]
    temporary = parent / f".{output.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp"  # known before it exists: an interrupt finds it at any moment
    fresh, old = temporary / "new", temporary / "old"
    try:
        with writing(output, temporary):
            fresh.mkdir(parents=True)
            yield fresh
            try:
                if output.exists():
                    output.rename(old)
                fresh.rename(output)
            except BaseException:
                if old.exists() and not output.exists():
                    old.rename(output)
                raise
        made = []
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for folder in made:  # the innermost first; a folder that somebody else has put something into stays
            with contextlib.suppress(OSError):
                folder.rmdir()
