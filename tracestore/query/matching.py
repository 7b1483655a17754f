"""Patterns and lists of texts -> what is asked of each entry of a dictionary.

A regex that is really an equality, prefix, suffix, substring or a list of them runs as such; any
other is matched by RE2, which is linear in the text, so that no pattern can hang a query.

Source: TraceQL reference, 4.5 (the whole text must match, ``.`` matches newlines too).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from traceql.regex import Shape, classify_regex
from tracestore.query.masks import BoolArray
from tracestore.query.predicates import TextMatcher


def any_of_texts(values: Iterable[str]) -> TextMatcher:
    """Make the matcher of a list of texts."""
    wanted = pa.array([value.encode("utf-8", "surrogateescape") for value in values], pa.binary())
    return _matcher(lambda entries: pc.is_in(entries.cast(pa.binary()), value_set=wanted))


def any_of_patterns(patterns: Sequence[str]) -> TextMatcher:
    """Make the matcher of several patterns, one of which must match."""
    matchers = [pattern_matcher(pattern) for pattern in patterns]
    return lambda entries: np.logical_or.reduce([matcher(entries) for matcher in matchers])


def pattern_matcher(pattern: str) -> TextMatcher:
    """Make the matcher of a regex.

    Raises: ValueError if RE2 does not compile it; no data is needed to find that out.
    """
    shape = classify_regex(pattern)
    match shape.shape:
        case Shape.EVERYTHING:
            return lambda entries: np.ones(len(entries), np.bool_)
        case Shape.NOT_EMPTY:
            return _matcher(lambda entries: pc.not_equal(entries, ""))
        case Shape.EQUALS:
            return any_of_texts(shape.literals)
        case Shape.PREFIX:
            return _any_literal(pc.starts_with, shape.literals)
        case Shape.SUFFIX:
            return _any_literal(pc.ends_with, shape.literals)
        case Shape.CONTAINS:
            return _any_literal(pc.match_substring, shape.literals)
    whole = f"^(?s:{pattern})$"
    try:
        pc.match_substring_regex(pa.array([""]), whole)
    except (pa.ArrowInvalid, UnicodeEncodeError) as error:
        raise ValueError(f"invalid regular expression {pattern!r} ({error})") from error
    return _matcher(lambda entries: pc.match_substring_regex(entries, whole))


def _matcher(find: Callable[[pa.StringArray], pa.BooleanArray]) -> TextMatcher:
    def match(entries: pa.StringArray) -> BoolArray:
        found: BoolArray = find(entries).to_numpy(zero_copy_only=False)
        return found

    return match


def _any_literal(
    find: Callable[[pa.StringArray, str], pa.BooleanArray], literals: Sequence[str]
) -> TextMatcher:
    known = [literal for literal in literals if _is_unicode(literal)]
    matchers = [_matcher(partial(_swapped, find, text)) for text in known]
    if not matchers:
        return lambda entries: np.zeros(len(entries), np.bool_)
    return lambda entries: np.logical_or.reduce([matcher(entries) for matcher in matchers])


def _swapped(
    find: Callable[[pa.StringArray, str], pa.BooleanArray], text: str, entries: pa.StringArray
) -> pa.BooleanArray:
    return find(entries, text)


def _is_unicode(text: str) -> bool:
    """Tell whether a query's text is UTF-8, as every stored text is."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
