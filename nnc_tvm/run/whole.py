"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import IO

from nnc_tvm.errors import InvalidInput
from nnc_tvm.package.folder import writing


@contextlib.contextmanager
def whole(file: pathlib.Path) -> Iterator[IO[bytes]]:
    """A handle to write to; what is written becomes `file` at the end of the block, and nothing where that raises.

    Raises InvalidInput where `file` cannot be written, or is something else than a file: a device would be replaced.
    """
    if file.exists() and not file.is_file():
        raise InvalidInput(f"{file}: exists and is not a file; choose another name")
    file = pathlib.Path(os.path.realpath(file))  # a link keeps pointing there
    prefix = f".{file.name}."
    with writing(file, file.parent / prefix):
        handle, temporary = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=file.parent)
        try:
            with os.fdopen(handle, "wb") as opened:
                yield opened
            os.replace(temporary, file)
        except BaseException:
            os.unlink(temporary)
            raise
