"""A regex run as something simpler finds what the regex finds."""

from __future__ import annotations

import random
import re

import pyarrow as pa
import pytest

from tracestore.query.matching import any_of_patterns, any_of_texts, mask_rare, pattern_matcher

ENTRIES = ["", "a", "ab", "b", "a\nb", "xaby", "GET /a", "é"]


@pytest.mark.parametrize(
    "pattern",
    [".*", ".+", "a", "a|b", "(a|ab)", "a.*", ".*b", ".*ab.*", "a.b", "[ab]+", "(?i)get .*", ""],
)
def test_a_pattern_matches_whole_texts(pattern: str) -> None:
    found = pattern_matcher(pattern)(pa.array(ENTRIES)).tolist()

    assert found == [re.fullmatch(pattern, entry, re.S) is not None for entry in ENTRIES]


@pytest.mark.parametrize(
    "pattern",
    ["0.*f", ".*0[a-c].*f$", "[0-9a-f]*7f[0-9]*", ".*00.*11.*", ".*f.*", "[0-9]+", "(?i).*0A.*"],
)
def test_among_many_texts_a_pattern_finds_what_the_regex_finds(pattern: str) -> None:
    chance = random.Random(4)
    entries = [f"{chance.getrandbits(8 * chance.randint(0, 12)):x}" for _ in range(3000)]
    for part in (entries, entries[:7], []):
        found = pattern_matcher(pattern)(pa.array(part, pa.string())).tolist()

        assert found == [re.fullmatch(pattern, entry, re.S) is not None for entry in part]


def test_a_rare_text_is_found_where_it_is() -> None:
    entries = ["ab", "xa", "bx", "", "aab", *["x"] * 40]
    expected = ["ab" in entry for entry in entries]

    array = pa.array(["ab", *entries, "ab"]).slice(1, len(entries))
    assert mask_rare(array, "ab").tolist() == expected
    assert mask_rare(pa.array(["ab", "ba", "abab"]), "ab") is None
    assert mask_rare(pa.array([], pa.string()), "ab").tolist() == []


def test_any_of_several() -> None:
    entries = pa.array(ENTRIES)

    assert any_of_texts(["b", "é"])(entries).tolist() == [
        entry in "bé" and entry != "" for entry in ENTRIES
    ]
    assert any_of_patterns(["b.*", "a"])(entries).tolist() == [e in ("b", "a") for e in ENTRIES]


def test_bytes_that_are_no_text_match_nothing() -> None:
    assert not any_of_texts(["\udcff"])(pa.array(ENTRIES)).any()
    assert not pattern_matcher("\udcff.*")(pa.array(ENTRIES)).any()


def test_a_pattern_may_end_within_a_quotation() -> None:
    assert pattern_matcher(r"a.\Qb)")(pa.array(["a.b)", "axb)", "ab"])).tolist() == [
        True,
        True,
        False,
    ]


def test_what_re2_refuses_is_refused_without_data() -> None:
    with pytest.raises(ValueError, match=r"\(\?="):
        pattern_matcher("(?=a)")


@pytest.mark.parametrize("pattern", [r"\p{Foo}", "(a|b){1,999}" * 300])
def test_what_only_re2_refuses_is_told_in_few_words(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"^invalid regex: ") as refused:
        pattern_matcher(pattern)
    assert len(str(refused.value)) < 200
