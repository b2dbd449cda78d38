"""What an installation contains, and that importing it stays cheap."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
HEAVY = ("tvm", "onnx", "tflite", "torch", "onnxruntime")


def packages_on_disk() -> dict[str, pathlib.Path]:
    """Every folder with an __init__.py under pyproject.toml's package-dir, by its installed name."""
    found = {}
    for name, folder in SETUPTOOLS["package-dir"].items():
        for init in sorted((ROOT / folder).rglob("__init__.py")):
            found[".".join([name, *init.parent.relative_to(ROOT / folder).parts])] = init.parent
    return found


def test_every_package_is_installed() -> None:
    assert sorted(SETUPTOOLS["packages"]) == sorted(packages_on_disk())


def test_every_data_file_is_installed() -> None:
    patterns = SETUPTOOLS["package-data"]["*"]
    packages = packages_on_disk().values()
    for folder in SETUPTOOLS["package-dir"].values():
        for path in (ROOT / folder).rglob("*"):
            if path.is_dir() or path.suffix == ".py" or "__pycache__" in path.parts:
                continue
            inside = max((package for package in packages if path.is_relative_to(package)), key=lambda package: len(package.parts))
            assert any(path in inside.glob(pattern) for pattern in patterns), f"{path}: no pattern of package-data matches"


def loaded_by(statement: str) -> list[str]:
    """Names of HEAVY that a fresh interpreter has loaded after `statement`."""
    code = f"import json, sys; {statement}; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    return json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def test_imports_load_no_framework() -> None:
    assert loaded_by("import nnc_tvm, nnc_tvm.cli") == []


def test_the_oracle_loads_no_framework() -> None:
    assert loaded_by("import nnc_tvm.reference") == []
