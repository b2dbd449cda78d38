"""Names of a model as C identifiers, and as text that is safe inside a C comment."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nnc_tvm.errors import InvalidInput

# words of C99, C11 and C++ that are no member names of a header meant for both languages, and macros of the headers it includes
_WORDS = """
    alignas alignof and asm auto bitand bitor bool break case catch char class compl const constexpr continue decltype default delete do double else enum
    explicit export extern false float for friend goto if inline int long mutable namespace new noexcept not nullptr operator or private protected public
    register restrict return short signed sizeof static struct switch template this throw true try typedef typeid typename union unsigned using virtual void
    volatile wchar_t while xor linux unix NULL
"""
RESERVED = frozenset(_WORDS.split())


def identifier(text: str, fallback: str) -> str:
    """`text` with everything C does not allow in a name replaced by one underscore; `fallback` in front where a letter must be."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    if not name:
        return fallback
    if name[0].isdigit():
        return f"{fallback}_{name}"
    return name + "_" if name in RESERVED else name


def unique_identifiers(texts: Iterable[str], fallback: str) -> tuple[str, ...]:
    """One identifier for each text, told apart by numbers where two become the same, whatever their case (macros are upper case)."""
    taken: set[str] = set()
    names = []
    for text in texts:
        base = name = identifier(text, fallback)
        number = 2
        while name.upper() in taken:
            name = f"{base}_{number}"
            number += 1
        taken.add(name.upper())
        names.append(name)
    return tuple(names)


def comment(text: str, limit: int = 80) -> str:
    """`text` without what could end or nest a C comment, form a trigraph or leave ASCII; at most `limit` characters."""
    plain = re.sub(r"[^ -~]|[*?\\]", "_", text)
    return plain if len(plain) <= limit else plain[: limit - 3] + "..."


def package_name(text: str) -> str:
    """The package's name for a model called `text`: lower case, a letter first."""
    return identifier(text, "model").lower()


def check_package_name(name: str) -> str:
    """`name`, where it can prefix C symbols. Raises InvalidInput otherwise."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name):
        raise InvalidInput(f"--name {name!r}: not a C identifier of at most 64 letters, digits and underscores; use for example {package_name(name)!r}")
    return name
