import re
from dataclasses import replace

import pytest

from tracestore.api.params import (
    SearchParams,
    parse_go_duration,
    parse_search,
)
from tracestore.errors import InvalidRequestError
from tracestore.model.times import SECOND_NS, TimeRange
from tracestore.settings.tree import QuerySettings

NOW_S = 1_700_000_000
SETTINGS = QuerySettings()


def parse(**query: str) -> SearchParams:
    return parse_search(query, SETTINGS, now_s=NOW_S)


def window(start_s: int, end_s: int) -> TimeRange:
    return TimeRange(start_ns=start_s * SECOND_NS, end_ns=end_s * SECOND_NS + 1)


def test_without_parameters_everything_is_searched() -> None:
    assert parse() == SearchParams(query="", limit=20, spans_per_span_set=3, time_range=None)


def test_both_ends_of_the_window_belong_to_it() -> None:
    found = parse(start="100", end="200").time_range

    assert found == window(100, 200)
    assert found.overlaps(200 * SECOND_NS, 300 * SECOND_NS)
    assert not found.overlaps(200 * SECOND_NS + 1, 300 * SECOND_NS)


@pytest.mark.parametrize(
    ("since", "seconds"),
    [("90m", 5400), ("1h30m", 5400), ("2d", 172_800), ("1w", 604_800), ("1500ms", 2), ("0", 0)],
)
def test_since_wins_over_start_and_end(since: str, seconds: int) -> None:
    expected = window(NOW_S - seconds, NOW_S + 1)
    assert parse(since=since, start="1", end="2").time_range == expected


def test_the_current_second_belongs_to_a_window_that_ends_now() -> None:
    just_now_ns = NOW_S * SECOND_NS + 900_000_000
    found = parse(since="1s").time_range

    assert found.overlaps(just_now_ns, just_now_ns)
    assert parse(since="168h").time_range is not None


def test_a_default_window_can_be_set() -> None:
    settings = replace(SETTINGS, default_window_s=900.0)

    assert parse_search({}, settings, now_s=NOW_S).time_range == window(NOW_S - 900, NOW_S + 1)


def test_spss_0_is_the_most_there_is() -> None:
    assert parse(spss="0").spans_per_span_set == SETTINGS.max_spans_per_span_set


def test_durations_are_whole_milliseconds() -> None:
    found = parse(minDuration="1.0009ms", maxDuration="1h2m3s")

    assert (found.min_duration_ns, found.max_duration_ns) == (1_000_000, 3_723_000_000_000)


REFUSALS = [
    ({"start": "x"}, 'invalid start: strconv.ParseUint: parsing "x": invalid syntax'),
    ({"end": "-1"}, 'invalid end: strconv.ParseUint: parsing "-1": invalid syntax'),
    (
        {"start": "4294967296", "end": "5"},
        'invalid start: strconv.ParseUint: parsing "4294967296": value out of range',
    ),
    (
        {"start": "5", "end": "5"},
        "http parameter start must be before end. received start=5 end=5",
    ),
    ({"start": "5"}, "http parameter start must be before end. received start=5 end=0"),
    (
        {"end": "5"},
        (
            "error parsing date range: only one of start and end provided: "
            "must provide both or neither"
        ),
    ),
    (
        {"since": "soon"},
        (
            "error parsing date range: could not parse 'since' parameter: "
            'not a valid duration string: "soon"'
        ),
    ),
    (
        {"start": "1", "end": "604802"},
        "range specified by start and end exceeds 168h0m0s. received start=1 end=604802",
    ),
    ({"limit": "0"}, "invalid limit: must be a positive number"),
    ({"limit": "-3"}, "invalid limit: must be a positive number"),
    ({"limit": "x"}, 'invalid limit: strconv.Atoi: parsing "x": invalid syntax'),
    ({"limit": "262145"}, "limit 262145 exceeds max limit 262144"),
    ({"spss": "101"}, "spans per span set exceeds 100. received 101"),
    ({"spss": "-1"}, "invalid spss: must be a non-negative number"),
    ({"minDuration": "5"}, 'invalid minDuration: time: missing unit in duration "5"'),
    ({"maxDuration": "x"}, 'invalid maxDuration: time: invalid duration "x"'),
    (
        {"minDuration": "2s", "maxDuration": "1s"},
        "invalid maxDuration: must be greater than minDuration",
    ),
    (
        {"q": "{}", "tags": "a=b"},
        "invalid request: can't specify tags and q in the same query",
    ),
    ({"tags": "a=b a=c"}, "invalid tags: tag a has been set twice"),
    ({"tags": "a=b=c"}, "invalid tags: unexpected '=' at pos 4"),
    ({"q": "{}", "sort": "size"}, "invalid sort: expected one of -start, start, -duration"),
    ({"q": "{}", "count": "yes"}, "invalid count: expected true or false, got yes"),
    ({"q": "{}", "partial": "true"}, "invalid partial: expected allow or deny, got true"),
    (
        {"q": "x" * 131_073, "start": "x"},
        (
            "TraceQL expression exceeds the configured maximum size of 131072 bytes, reduce the "
            "query expression size or contact your system administrator"
        ),
    ),
]


@pytest.mark.parametrize(("query", "message"), REFUSALS)
def test_a_bad_parameter_is_refused_in_tempos_words(query: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{re.escape(message)}"):
        parse(**query)


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("100ms", 10**8),
        ("1.5s", 1500000000),
        ("2h45m", 9900 * 10**9),
        ("3us", 3000),
        ("3µs", 3000),
        ("7ns", 7),
        ("-1s", -(10**9)),
        ("0", 0),
        (".5m", 30 * 10**9),
    ],
)
def test_go_durations(text: str, duration_ns: int) -> None:
    assert parse_go_duration(text) == duration_ns
