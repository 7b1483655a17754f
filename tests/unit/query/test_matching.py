"""A regex run as something simpler finds what the regex finds."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest

from tracestore.query.matching import any_of_patterns, any_of_texts, pattern_matcher

ENTRIES = ["", "a", "ab", "b", "a\nb", "xaby", "GET /a", "é"]


@pytest.mark.parametrize(
    "pattern",
    [".*", ".+", "a", "a|b", "(a|ab)", "a.*", ".*b", ".*ab.*", "a.b", "[ab]+", "(?i)get .*", ""],
)
def test_a_pattern_matches_whole_texts(pattern: str) -> None:
    found = pattern_matcher(pattern)(pa.array(ENTRIES)).tolist()

    assert found == [re.fullmatch(pattern, entry, re.S) is not None for entry in ENTRIES]


def test_any_of_several() -> None:
    entries = pa.array(ENTRIES)

    assert any_of_texts(["b", "é"])(entries).tolist() == [
        entry in "bé" and entry != "" for entry in ENTRIES
    ]
    assert any_of_patterns(["b.*", "a"])(entries).tolist() == [e in ("b", "a") for e in ENTRIES]


def test_bytes_that_are_no_text_match_nothing() -> None:
    assert not any_of_texts(["\udcff"])(pa.array(ENTRIES)).any()
    assert not pattern_matcher("\udcff.*")(pa.array(ENTRIES)).any()


def test_what_re2_refuses_is_refused_without_data() -> None:
    with pytest.raises(ValueError, match=r"\(\?="):
        pattern_matcher("(?=a)")
