"""Packages that are verbs of the API as well: nnc_tvm.run is a folder of modules, nnc_tvm.run(package, inputs) a call."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


class Verb(types.ModuleType):
    """A module that is called as the function of its name in nnc_tvm.api."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return getattr(importlib.import_module("nnc_tvm.api"), self.__name__.rpartition(".")[2])(*arguments, **options)


def make_verb(module: str) -> None:
    """Makes the module of that name callable (docs.python.org/3/reference/datamodel.html, "Customizing module attribute access")."""
    sys.modules[module].__class__ = Verb
