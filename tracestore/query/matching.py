"""Patterns and lists of texts -> what is asked of each entry of a dictionary.

A regex that is really an equality, prefix, suffix, substring or a list of them runs as such; any
other is matched by RE2, which is linear in the text, so that no pattern can hang a query. RE2 sees
only the texts that have the literals which the pattern cannot do without.

Source: TraceQL reference, 4.5 (the whole text must match, ``.`` matches newlines too).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from traceql.regex import RequiredLiterals, Shape, classify_regex, required_literals
from tracestore.query.masks import BoolArray
from tracestore.query.predicates import TextMatcher

HITS_SHARE = 1 / 8
"""A text that occurs more often than this, per entry, is not rare: looking at each hit costs."""
REASON_CHARS_MAX = 120
"""How much is told of why RE2 refuses a pattern."""
SAMPLE_BYTES = 1 << 16
"""Of this many bytes it is guessed whether a text is rare."""


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
            return _any_of([partial(_containing, word=text) for text in shape.literals])
    whole = _anchored(pattern)
    required = _required(required_literals(pattern))
    return partial(_match_those, required, partial(_match_regex, whole))


def _anchored(pattern: str) -> str:
    """Make the pattern of whole texts. Raises: ValueError if RE2 does not compile it."""
    whole = f"^(?s:{pattern})$"
    try:
        try:
            pc.match_substring_regex(pa.array([""]), whole)
        except pa.ArrowInvalid:
            whole = f"^(?s:{pattern}\\E)$"  # it may end within a quotation
            pc.match_substring_regex(pa.array([""]), whole)
    except (pa.ArrowInvalid, UnicodeEncodeError) as error:
        reason = str(error).removeprefix("Invalid regular expression: ")
        if len(reason) > REASON_CHARS_MAX:  # it may quote all of the pattern
            reason = f"{reason[:REASON_CHARS_MAX]}…"
        raise ValueError(f"invalid regex: {reason}") from error
    return whole


def _matcher(find: Callable[[pa.StringArray], pa.BooleanArray]) -> TextMatcher:
    def match(entries: pa.StringArray) -> BoolArray:
        found: BoolArray = find(entries).to_numpy(zero_copy_only=False)
        return found

    return match


def _match_regex(pattern: str, entries: pa.StringArray) -> BoolArray:
    found: BoolArray = pc.match_substring_regex(entries, pattern).to_numpy(zero_copy_only=False)
    return found


def _match_those(
    required: Sequence[TextMatcher], match: TextMatcher, entries: pa.StringArray
) -> BoolArray:
    """Match the entries that have all that is required; the others do not match.

    Cost: a search for a literal is some tenth of a regex, per entry.
    """
    rows = None
    left = entries
    for has in required:
        held = np.flatnonzero(has(left))
        if len(held) * 2 < len(left):
            rows = held if rows is None else rows[held]
            left = left.take(pa.array(held))
    if rows is None:
        return match(entries)
    mask: BoolArray = np.zeros(len(entries), np.bool_)
    mask[rows] = match(left)
    return mask


def _required(literals: RequiredLiterals) -> list[TextMatcher]:
    """Make the matchers of what a text must have, the cheap ones first."""
    ends = [(pc.starts_with, literals.prefixes), (pc.ends_with, literals.suffixes)]
    found = [_any_literal(find, words) for find, words in ends if words]
    for words in literals.inside:
        found.append(_any_of([partial(_perhaps_containing, word=text) for text in words]))
    return found


def _any_literal(
    find: Callable[[pa.StringArray, str], pa.BooleanArray], literals: Sequence[str]
) -> TextMatcher:
    return _any_of([_matcher(partial(_swapped, find, text)) for text in literals])


def _any_of(matchers: Sequence[TextMatcher]) -> TextMatcher:
    if len(matchers) == 1:
        return matchers[0]
    return lambda entries: np.logical_or.reduce([matcher(entries) for matcher in matchers])


def _swapped(
    find: Callable[[pa.StringArray, str], pa.BooleanArray], text: str, entries: pa.StringArray
) -> pa.BooleanArray:
    if not _is_unicode(text):
        return pa.array(np.zeros(len(entries), np.bool_))
    return find(entries, text)


def _containing(entries: pa.StringArray, word: str) -> BoolArray:
    """Mark the entries with a text in them."""
    if not _is_unicode(word):
        return np.zeros(len(entries), np.bool_)
    found = mask_rare(entries, word)
    if found is None:
        found = pc.match_substring(entries, word).to_numpy(zero_copy_only=False)
    return found


def _perhaps_containing(entries: pa.StringArray, word: str) -> BoolArray:
    """Likewise; all entries if many have it, for then it would not help."""
    found = mask_rare(entries, word)
    return np.ones(len(entries), np.bool_) if found is None else found


def mask_rare(entries: pa.StringArray, word: str) -> BoolArray | None:
    """Mark the entries with a text in them, if it occurs rarely; else None.

    All entries are searched as one text, which is several times faster than each by itself, until
    there are too many hits; a sample tells when not to begin.

    Args:
        entries: (K,) texts, no nulls.
        word: not empty.

    Cost: about a copy of the texts, and Python per hit, at most ``K * HITS_SHARE``.
    """
    wanted = word.encode()
    offsets = np.frombuffer(entries.buffers()[1], np.int32)
    offsets = offsets[entries.offset : entries.offset + len(entries) + 1]
    mask: BoolArray = np.zeros(len(entries), np.bool_)
    data = entries.buffers()[2]
    if data is None or len(entries) == 0:
        return mask
    text = memoryview(data)[offsets[0] : offsets[-1]].tobytes()
    hits_max = int(len(entries) * HITS_SHARE)
    if text.count(wanted, 0, SAMPLE_BYTES) * len(text) > hits_max * min(len(text), SAMPLE_BYTES):
        return None
    hits: list[int] = []
    hit = text.find(wanted)
    while hit >= 0:
        if len(hits) >= hits_max:
            return None
        hits.append(hit)
        hit = text.find(wanted, hit + 1)
    begin = np.array(hits, np.int64) + offsets[0]
    row = np.searchsorted(offsets, begin, side="right") - 1
    mask[row[begin + len(wanted) <= offsets[row + 1]]] = True
    return mask


def _is_unicode(text: str) -> bool:
    """Tell whether a query's text is UTF-8, as every stored text is."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
