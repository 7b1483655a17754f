"""Patterns are judged as RE2 judges them, and seen through."""

from __future__ import annotations

import random

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from traceql.regex import (
    RequiredLiterals,
    Shape,
    check_regex,
    classify_regex,
    required_literals,
)


@pytest.mark.parametrize(
    ("pattern", "shape", "literals"),
    [
        ("foo", Shape.EQUALS, ("foo",)),
        ("^foo$", Shape.EQUALS, ("foo",)),
        ("", Shape.EQUALS, ("",)),
        (r"foo\.bar", Shape.EQUALS, ("foo.bar",)),
        (r"\Qa.b\E", Shape.EQUALS, ("a.b",)),
        ("a|b|", Shape.EQUALS, ("a", "b", "")),
        ("(a|b)c", Shape.EQUALS, ("ac", "bc")),
        ("https?", Shape.EQUALS, ("https", "http")),
        ("a[bc]", Shape.EQUALS, ("ab", "ac")),
        ("a[b-d]", Shape.EQUALS, ("ab", "ac", "ad")),
        ("[A-Z]", Shape.GENERAL, ()),
        ("foo.*", Shape.PREFIX, ("foo",)),
        ("(?:GET|PUT) /.*", Shape.PREFIX, ("GET /", "PUT /")),
        (".*foo", Shape.SUFFIX, ("foo",)),
        ("(?s).*foo.*", Shape.CONTAINS, ("foo",)),
        (".*", Shape.EVERYTHING, ()),
        ("(.*)", Shape.EVERYTHING, ()),
        ("^.*?$", Shape.EVERYTHING, ()),
        (".+", Shape.NOT_EMPTY, ()),
        ("(?i)foo", Shape.GENERAL, ()),
        ("(?-s:.*)", Shape.GENERAL, ()),
        ("a.c", Shape.GENERAL, ()),
        ("foo|bar.*", Shape.GENERAL, ()),
        ("[0-9]+", Shape.GENERAL, ()),
        ("(a|^b)c", Shape.GENERAL, ()),
    ],
)
def test_a_pattern_has_a_shape(pattern: str, shape: Shape, literals: tuple[str, ...]) -> None:
    found = classify_regex(pattern)

    assert (found.shape, found.literals) == (shape, literals)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("ab.*c", RequiredLiterals(prefixes=("ab",), suffixes=("c",))),
        (".*0[ab].*f$", RequiredLiterals(suffixes=("f",), inside=(("0a", "0b"),))),
        ("[0-9]+-id.[^x]/y.+", RequiredLiterals(inside=(("-id",), ("/y",)))),
        ("(GET|PUT) .*/x", RequiredLiterals(prefixes=("GET ", "PUT "), suffixes=("/x",))),
        (r"\bfoo.?", RequiredLiterals(inside=(("foo",),))),
        ("https?.", RequiredLiterals(prefixes=("https", "http"))),
        ("(foo.*bar)+", RequiredLiterals()),
        ("a?.x+", RequiredLiterals()),
        (".*ab.*|c.*def[gh].", RequiredLiterals(inside=(("ab", "defg", "defh"),))),
        ("a.b|c.*|.", RequiredLiterals()),
        ("a.b|c.*|d|e|f.", RequiredLiterals()),
        ("(?i)a.b", RequiredLiterals()),
        ("[a-e].", RequiredLiterals()),
    ],
)
def test_what_a_pattern_cannot_do_without(pattern: str, expected: RequiredLiterals) -> None:
    assert required_literals(pattern) == expected


@pytest.mark.parametrize(
    "pattern", ["(?=x)", "(?<!x)", r"(a)\1", "(", ")", "[a", "a**", "a{2,1}", r"\Z"]
)
def test_what_re2_lacks_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_regex(pattern)


ATOMS = [
    *"ab.^$|()*+?[]{}\\-,12",
    r"\d",
    r"\.",
    r"\Q",
    r"\E",
    "(?:",
    "(?i)",
    "(?s:",
    "[a-c]",
    "[^a]",
]
ATOMS += ["[[:alpha:]]", ".*", ".+", "{2}", r"\A", r"\z", r"\b", r"\x41", r"\pL", "(?=", r"\1"]
TEXTS = [
    "",
    "a",
    "b",
    "ab",
    "aab",
    "a.b",
    "xaby",
    "\n",
    "a\nb",
    "1",
    "A",
    "aA",
    "ba",
    "(",
    "[",
    "a|b",
]


def _re2(pattern: str, texts: pa.Array) -> list[bool] | None:
    try:
        found: list[bool] = pc.match_substring_regex(texts, pattern).to_pylist()
    except pa.ArrowInvalid:
        return None
    return found


def _answer(pattern: str, text: str) -> bool | None:
    found = classify_regex(pattern)
    match found.shape:
        case Shape.EVERYTHING:
            return True
        case Shape.NOT_EMPTY:
            return text != ""
        case Shape.EQUALS:
            return text in found.literals
        case Shape.PREFIX:
            return text.startswith(found.literals)
        case Shape.SUFFIX:
            return text.endswith(found.literals)
        case Shape.CONTAINS:
            return any(literal in text for literal in found.literals)
    return None


def _may_match(required: RequiredLiterals, text: str) -> bool:
    return (
        (not required.prefixes or text.startswith(required.prefixes))
        and (not required.suffixes or text.endswith(required.suffixes))
        and all(any(word in text for word in words) for words in required.inside)
    )


def test_what_matches_a_random_pattern_has_its_literals() -> None:
    chance = random.Random(3)
    texts = pa.array(TEXTS)
    useful = 0
    for _ in range(3000):
        pattern = "".join(chance.choices(ATOMS, k=chance.randint(2, 6)))
        matched = _re2(f"^(?s:{pattern})$", texts)
        try:
            required = required_literals(pattern)
        except ValueError:
            continue
        if matched is None:
            continue  # a quotation without end swallows the end of the group
        for text, matches in zip(TEXTS, matched, strict=True):
            assert not matches or _may_match(required, text), (pattern, text)
            useful += not _may_match(required, text)
    assert useful > 3000


def test_random_patterns_are_judged_and_answered_as_re2_does() -> None:
    chance = random.Random(2)
    texts = pa.array(TEXTS)
    simple = 0
    for _ in range(3000):
        pattern = "".join(chance.choices(ATOMS, k=chance.randint(1, 5)))
        try:
            check_regex(pattern)
        except ValueError:
            assert _re2(pattern, texts) is None, pattern
            continue
        assert _re2(pattern, texts) is not None, pattern
        expected = _re2(f"^(?s:{pattern})$", texts)
        answers = [_answer(pattern, text) for text in TEXTS]
        if expected is not None and None not in answers:
            assert answers == expected, pattern
            simple += 1
    assert simple > 300
