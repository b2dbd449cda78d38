from __future__ import annotations

import pytest

from nnc_tvm.errors import InvalidInput
from nnc_tvm.package.identifiers import check_package_name, comment, identifier, package_name, unique_identifiers


@pytest.mark.parametrize(("text", "expected"), [
    ("serving_default_input_1:0", "serving_default_input_1_0"), ("x", "x"), ("0", "input_0"), ("", "input"), ("größe", "gr_e"),
    ("int", "int_"), ("a//b", "a_b"),
    ("__x__", "x"), ("class", "class_"),
])
def test_identifier(text: str, expected: str) -> None:
    assert identifier(text, "input") == expected


def test_names_that_meet_are_numbered() -> None:
    assert unique_identifiers(["a.b", "a/b", "A_B", "c"], "input") == ("a_b", "a_b_2", "A_B_3", "c")


def test_comment_cannot_end_or_nest() -> None:
    assert comment("a */ b /* c ??/ \\ \n é") == "a _/ b /_ c __/ _ _ _"
    assert len(comment("x" * 500)) == 80


def test_package_name() -> None:
    assert package_name("KWS-ref.v2") == "kws_ref_v2"
    assert package_name("8bit") == "model_8bit"
    assert check_package_name("Net_1") == "Net_1"
    for bad in ("", "1a", "a-b", "_a", "a" * 65, "a\n"):
        with pytest.raises(InvalidInput, match="--name"):
            check_package_name(bad)
