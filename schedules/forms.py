"""The forms that a layer's weights can take, beside those that every package may use."""

from __future__ import annotations

from nnc_tvm.errors import InvalidInput

FORMS = {
    "structured": "channels that nothing needs are removed, with their filters and activations",
    "block": "blocks of input by output channels that are zero are left out",
    "int4": "weights that fit 4 bits are stored as two in a byte",
    "N:M": "of every four weights the one or two that are not zero are stored, with their places",
    "unstructured": "for every output channel a list of the inputs whose weights are not zero",
    "low-rank": "factors of a layer are one kernel, which never holds all of what lies between them",
    "merged": "factors of a layer are multiplied back where their product costs less than they do; integers where it computes the same ones, or as asked",
    "fused": "other layers of single pixels, one after the other, likewise where the arena becomes smaller by it",
}
ALL = frozenset(FORMS)
MERGED = "merged low-rank"
"""What layers made of factors are called."""
DENSE = frozenset({"dense", "winograd"})
"""Whatever the weights are: not restricted by `--forms`."""


def parse_forms(text: str, merge_factors: bool = False) -> frozenset[str]:
    """What `--forms` allows: "auto" all of them, "dense" none, else names with commas between.

    merge_factors: whether "merged" must be among them. Raises InvalidInput where it is not, and naming an unknown one.
    """
    names = set(ALL) if text == "auto" else {name.strip() for name in text.split(",")} - {"dense"}
    for name in sorted(names - ALL):
        raise InvalidInput(f"--forms: there is no form '{name}'; use auto, dense, or a list of {', '.join(FORMS)}")
    if merge_factors and "merged" not in names:
        raise InvalidInput(f"--merge-factors: --forms {text} leaves 'merged' out; add it, or leave --merge-factors out")
    return frozenset(names)
