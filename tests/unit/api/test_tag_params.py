"""Requests of autocomplete. Source: wire contract, sections 5.2, 5.3 and 9."""

from __future__ import annotations

import pytest

from tracestore.api.tag_params import parse_names, parse_scopes, parse_values
from tracestore.api.timestamps import parse_timestamp_ns
from tracestore.errors import InvalidRequestError
from tracestore.model.tags import TagScope
from tracestore.model.times import SECOND_NS, TimeRange
from tracestore.settings.tree import QuerySettings

NOW_S = 1_700_000_000
SETTINGS = QuerySettings()


def window(settings: QuerySettings = SETTINGS, **query: str) -> tuple[int, int] | None:
    """Get the window in seconds, both ends inclusive."""
    params = parse_values(query, "name", settings, now_s=NOW_S, is_legacy=False)
    found = params.bounds.window
    if found is None:
        return None
    assert found == TimeRange(
        start_ns=found.start_ns // SECOND_NS * SECOND_NS,
        end_ns=found.end_ns // SECOND_NS * SECOND_NS + 1,
    )
    return found.start_ns // SECOND_NS, found.end_ns // SECOND_NS


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1700000000", 1_700_000_000 * SECOND_NS),
        ("0", 0),
        ("17000000001", 17_000_000_001),
        ("1700000000123456789", 1_700_000_000_123_456_789),
        ("1700000000.5", 1_700_000_000_500_000_000),
        ("1700000000.1239", 1_700_000_000_124_000_000),
        ("-1.5", -1_500_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000 * SECOND_NS),
        ("2023-11-14T23:13:20.25+01:00", 1_700_000_000_250_000_000),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123_456_789),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
    ],
)
def test_timestamps(text: str, ns: int) -> None:
    assert parse_timestamp_ns(text) == ns


@pytest.mark.parametrize(
    "text",
    ["x", ".", "1.2.3", "1e400.", "inf", "nan", "1_000", "١", "2023-11-14", "2023-11-14T22:13:20",
     "2023-13-14T22:13:20Z", "2023-11-14 22:13:20Z", "9" * 20, "-5", "+1"],
)  # fmt: skip
def test_what_is_no_timestamp(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_timestamp_ns(text)


def test_windows() -> None:
    assert window() is None
    assert window(start="1699999000", end="1700000000") == (1_699_999_000, 1_700_000_000)
    assert window(start="1699999000.9", end="1700000000000000000") == (
        1_699_999_000,
        1_700_000_000,
    )
    assert window(since="1h") == (1_699_996_400, NOW_S + 1)
    assert window(since="1h", start="anything") == (1_699_996_400, NOW_S + 1)
    assert window(QuerySettings(default_window_s=900)) == (1_699_999_100, NOW_S + 1)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"start": "5"}, "error parsing date range: only one of start and end provided"),
        ({"start": "x", "end": "5"}, "could not parse 'start' parameter: "),
        ({"start": "5", "end": "x"}, "could not parse 'end' parameter: "),
        ({"since": "x"}, "could not parse 'since' parameter: "),
        ({"start": "6", "end": "5"}, "start must be before end. received start=6 end=5"),
        ({"start": "5", "end": "5"}, "start must be before end. received start=5 end=5"),
        ({"start": "1", "end": "700000"}, "range specified by start and end exceeds 168h0m0s"),
        ({"limit": "-1"}, 'invalid limit: strconv.ParseUint: parsing "-1": invalid syntax'),
        ({"limit": "4294967296"}, "invalid limit: .* value out of range"),
        ({"maxStaleValues": "many"}, "invalid maxStaleValues: "),
        ({"q": "x" * 131073}, "exceeds the configured maximum size of 131072 bytes"),
    ],
)
def test_mistakes_in_a_request_for_values(query: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        parse_values(query, "name", SETTINGS, now_s=NOW_S, is_legacy=False)


def test_numbers_of_names_that_cannot_be_read_are_passed_over() -> None:
    query = {"limit": "-1", "maxStaleValues": "many"}

    bounds = parse_names(query, SETTINGS, now_s=NOW_S, is_legacy=False).bounds

    assert (bounds.limit, bounds.stale_max) == (0, 0)


def test_the_first_version_has_no_filter() -> None:
    query = {"q": "{ name = `a` }"}

    for is_legacy, expected in ((True, ""), (False, "{ name = `a` }")):
        names = parse_names(query, SETTINGS, now_s=NOW_S, is_legacy=is_legacy)
        values = parse_values(query, "name", SETTINGS, now_s=NOW_S, is_legacy=is_legacy)
        assert names.bounds.query == values.bounds.query == expected


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("", set(TagScope) - {TagScope.INTRINSIC}, set(TagScope)),
        ("none", set(TagScope) - {TagScope.INTRINSIC}, set(TagScope)),
        ("trace", set(), set()),
        ("span", {TagScope.SPAN}, {TagScope.SPAN}),
        ("intrinsic", {TagScope.INTRINSIC}, {TagScope.INTRINSIC}),
    ],
)
def test_scopes(text: str, first: set[TagScope], second: set[TagScope]) -> None:
    assert parse_scopes(text, is_legacy=True) == first
    assert parse_scopes(text, is_legacy=False) == second


@pytest.mark.parametrize("text", ["Span", "spans", "scope", "all"])
def test_an_unknown_scope(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"^invalid scope: {text}$"):
        parse_scopes(text, is_legacy=False)


def test_a_tag_must_be_named() -> None:
    with pytest.raises(InvalidRequestError, match=r"^please provide a non-empty tagName$"):
        parse_values({}, "", SETTINGS, now_s=NOW_S, is_legacy=True)
