from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from nnc_tvm.errors import InvalidInput
from nnc_tvm.package.manifest import FILE, is_package, read_manifest, to_json


def test_round_trip(x86_package: pathlib.Path) -> None:
    manifest = read_manifest(x86_package)
    assert to_json(manifest) == (x86_package / FILE).read_text()
    assert (manifest.name, manifest.target.kind, manifest.requantize) == ("net", "x86_cpu", "fixed")
    assert [t.name for t in manifest.outputs] == ["probabilities", "again", "x/y:0"]
    assert manifest.inputs[0].identifier == "x_y_0" and manifest.inputs[0].shape == (1, 3, 4)
    assert [layer.macs for layer in manifest.layers] == [0, 0, 0, 144, 144, 0]
    assert manifest.layers[3].kernel == "widen + plain dense" and manifest.layers[3].why == "why not" and manifest.layers[3].bytes == 144
    assert manifest.weights_bytes >= 512 + 144 and manifest.code_bytes > 100
    assert manifest.arena_bytes >= manifest.arena_lower_bound_bytes == 36


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def apply(text: str) -> str:
        data = json.loads(text)
        change(data)
        return json.dumps(data)

    return apply


@pytest.mark.parametrize(("damage", "message"), [
    (lambda text: text[:100], "not JSON"),
    (lambda text: "[]", "not the manifest"),
    (lambda text: '{"format": "other"}', "not the manifest"),
    (changed(lambda d: d.update(schema_version=99)), "schema version 99"),
    (changed(lambda d: d.pop("arena_bytes")), "missing entry 'arena_bytes'"),
    (changed(lambda d: d.update(extra=1)), "unknown entry 'extra'"),
    (changed(lambda d: d.update(arena_bytes="4")), "'arena_bytes' is str"),
    (changed(lambda d: d["inputs"][0].update(shape=[1, "3"])), "'inputs.0.shape.1' is str"),
    (changed(lambda d: d.update(layers={})), "'layers' is dict"),
    (changed(lambda d: d.update(target=None)), "'target' is NoneType"),
    (changed(lambda d: d.update(name="../x")), "a name in C is '../x'"),
    (changed(lambda d: d["inputs"][0].update(identifier="x; int y")), "a name in C is 'x; int y'"),
    (changed(lambda d: d["layers"][0]["kernels"][0].update(symbol="")), "a name in C is ''"),
    (changed(lambda d: d["inputs"][0].update(dtype="float77")), "the dtype of the tensor 'x/y:0' is 'float77'"),
    (changed(lambda d: d["outputs"][0].update(shape=[1, -3])), r"the shape of the tensor 'probabilities' is '\(1, -3\)'"),
    (changed(lambda d: d["layers"][0]["output"].update(dtype="text")), "the dtype of the output of layer .* is 'text'"),
    (changed(lambda d: d.update(sources=["../other/x.c"])), "a file of the package is '../other/x.c'"),
    (changed(lambda d: d.update(libraries=["/etc/passwd"])), "a file of the package is '/etc/passwd'"),
    (changed(lambda d: d.update(inputs=[])), "the number of inputs or outputs is '0'"),
])
def test_damage_is_named(x86_package: pathlib.Path, tmp_path: pathlib.Path, damage: Callable[[str], str], message: str) -> None:
    shutil.copytree(x86_package, tmp_path / "p")
    file = tmp_path / "p" / FILE
    file.write_text(damage(file.read_text()))
    with pytest.raises(InvalidInput, match=message) as error:
        read_manifest(tmp_path / "p")
    assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_not_a_package(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidInput, match="not an nnc-tvm package"):
        read_manifest(tmp_path)
    with pytest.raises(InvalidInput, match="no such folder"):
        read_manifest(tmp_path / "none")
    for damaged in (b"\xff\xfe{", b"[" * 100_000):
        (tmp_path / FILE).write_bytes(damaged)
        assert not is_package(tmp_path)
        with pytest.raises(InvalidInput, match="not JSON"):
            read_manifest(tmp_path)
