"""Files appear whole or not at all, and replace files alone."""

from __future__ import annotations

import pathlib

import pytest

from nnc_tvm.errors import InvalidInput
from nnc_tvm.run.whole import whole


def test_whole_or_not_at_all(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "a.bin"
    with whole(file) as handle:
        handle.write(b"first")
    with pytest.raises(KeyboardInterrupt), whole(file) as handle:
        handle.write(b"second")
        raise KeyboardInterrupt
    assert file.read_bytes() == b"first" and [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_links_stay(tmp_path: pathlib.Path) -> None:
    (tmp_path / "link").symlink_to("a.bin")
    with whole(tmp_path / "link") as handle:
        handle.write(b"x")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "a.bin").read_bytes() == b"x"


def test_what_cannot_be_written_is_named(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "none" / "a.bin"
    with pytest.raises(InvalidInput, match=f"^{file}: cannot be written: No such file or directory; "), whole(file):
        pass
    file = tmp_path / "a.bin"
    with pytest.raises(InvalidInput, match=f"^{file}: cannot be written: No space left on device; "), whole(file):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["/dev/null", "."])
def test_what_is_no_file_is_not_replaced(name: str) -> None:
    with pytest.raises(InvalidInput, match="is not a file"), whole(pathlib.Path(name)):
        pass
    assert pathlib.Path("/dev/null").is_char_device()
