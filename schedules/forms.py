"""The forms that a layer's weights can take, beside the dense one that every layer has."""

from __future__ import annotations

from nnc_tvm.errors import InvalidInput

FORMS = {
    "structured": "channels that nothing needs are removed, with their filters and activations",
}
ALL = frozenset(FORMS)


def parse_forms(text: str) -> frozenset[str]:
    """What `--forms` allows: "auto" all of them, "dense" none, else names with commas between. Raises InvalidInput naming an unknown one."""
    if text == "auto":
        return ALL
    names = {name.strip() for name in text.split(",")} - {"dense"}
    for name in sorted(names - ALL):
        raise InvalidInput(f"--forms: there is no form '{name}'; use auto, dense, or a list of {', '.join(FORMS)}")
    return frozenset(names)
