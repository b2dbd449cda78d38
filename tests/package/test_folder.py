from __future__ import annotations

import pathlib

import pytest

from nnc_tvm.errors import InvalidInput
from nnc_tvm.package.folder import check_output, replacing
from nnc_tvm.package.manifest import FILE, FORMAT

MANIFEST = f'{{"format": "{FORMAT}"}}'


def test_appears_whole(tmp_path: pathlib.Path) -> None:
    output = tmp_path / "a" / "b"
    with replacing(output) as folder:
        (folder / "x").write_text("new")
        assert not output.exists()
    assert (output / "x").read_text() == "new"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_nothing_stays_of_what_failed(tmp_path: pathlib.Path, error: BaseException | type[BaseException]) -> None:
    with pytest.raises((KeyboardInterrupt, InvalidInput)), replacing(tmp_path / "a" / "b") as folder:
        (folder / "x").write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_named(tmp_path: pathlib.Path) -> None:
    output = tmp_path / "p"
    with pytest.raises(InvalidInput, match=f"^{output}: cannot be written: No space left on device; free"), replacing(output):
        raise OSError(28, "No space left on device")
    with pytest.raises(InvalidInput, match=f"^{output}: cannot be written: No such file"), replacing(output) as folder:
        (folder / "none" / "x").write_text("")
    with pytest.raises(FileNotFoundError), replacing(output):  # the model's, say
        (tmp_path / "none").read_text()
    with pytest.raises(BrokenPipeError), replacing(output):
        raise BrokenPipeError(32, "Broken pipe")


def test_an_older_package_is_replaced_or_kept(tmp_path: pathlib.Path) -> None:
    output = tmp_path / "p"
    output.mkdir()
    (output / FILE).write_text(MANIFEST)
    (output / "build").mkdir()
    with pytest.raises(ValueError, match="failed"), replacing(output):
        raise ValueError("failed")
    assert (output / "build").exists()
    with replacing(output) as folder:
        (folder / FILE).write_text(MANIFEST)
    assert [p.name for p in tmp_path.rglob("*")] == ["p", FILE]


def test_foreign_folders_and_files_are_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InvalidInput, match="not empty"):
        check_output(tmp_path)
    with pytest.raises(InvalidInput, match="not a folder"):
        check_output(tmp_path / "thesis.txt")
    with pytest.raises(InvalidInput, match="not a folder"):
        check_output(tmp_path / "thesis.txt" / "p")
    (tmp_path / "empty").mkdir()
    check_output(tmp_path / "empty")
