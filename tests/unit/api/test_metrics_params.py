"""Parameters of the metrics routes: times, steps, alignment. Vectors of the wire contract."""

from __future__ import annotations

import pytest

from tracestore.api.metrics_params import (
    MetricsRequest,
    default_step_ns,
    grid_of,
    params_of,
    parse_instant,
    parse_range,
)
from tracestore.errors import InvalidRequestError
from tracestore.model.series import Grid
from tracestore.model.times import SECOND_NS
from tracestore.settings.tree import QuerySettings

SETTINGS = QuerySettings()
NOW = 1_700_000_000 * SECOND_NS
NOON = 1_699_963_200


def times(**query: str) -> tuple[float, float]:
    found = parse_range(query, SETTINGS, now_ns=NOW)
    return found.start_ns / SECOND_NS, found.end_ns / SECOND_NS


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1600000000", 1_600_000_000),
        ("1600000000000000000", 1_600_000_000),
        ("1600000000000", 1600),  # thirteen digits are nanoseconds
        ("1600000000.25", 1_600_000_000.25),
        ("1600000000.1234", 1_600_000_000.123),
        ("2020-09-13T12:26:40Z", 1_600_000_000),
        ("2020-09-13T14:26:40.5+02:00", 1_600_000_000.5),
        ("0", 0),
        ("-5", 0),
    ],
)
def test_a_time_is_read_in_every_form(text: str, seconds: float) -> None:
    assert times(start=text, end="1700000000")[0] == seconds


def test_what_is_absent_is_now_and_an_hour_before() -> None:
    now = NOW / SECOND_NS
    assert times() == (now - 3600, now)
    assert times(since="1d") == (now - 86400, now)
    assert times(end="1600000000", since="90m") == (1_600_000_000 - 5400, 1_600_000_000)
    assert times(end="1800000000") == (now - 3600, 1_800_000_000)
    assert times(start="1600000000") == (1_600_000_000, now)


@pytest.mark.parametrize(
    "text",
    ["x", "1e9", "2020-13-13T12:26:40Z", "9" * 30, "1.5.5", "nan.", "2020-09-13", "٣", "9e999."],
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="could not parse 'end' parameter: parsing time"):
        times(end=text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60", 60), ("0.5", 0.5), ("15s", 15), ("1m30s", 90), ("100ms", 0.1), ("1d", 86400)],
)
def test_a_step_is_seconds_or_a_duration(text: str, seconds: float) -> None:
    found = parse_range({"step": text}, SETTINGS, now_ns=NOW).step_ns
    assert found == seconds * SECOND_NS


@pytest.mark.parametrize("text", ["x", "-1", "1e99", "inf", "nan", "s", "99999999999d"])
def test_other_steps_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=f'cannot parse "{text}"'):
        parse_range({"step": text}, SETTINGS, now_ns=NOW)


@pytest.mark.parametrize("name", ["exemplars", "maxSeries"])
@pytest.mark.parametrize("text", ["-1", "x", "4294967296", "1.5"])
def test_other_counts_are_refused(name: str, text: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"invalid {name}: strconv.ParseUint"):
        parse_range({name: text}, SETTINGS, now_ns=NOW)


def test_the_query_may_have_its_old_name() -> None:
    assert parse_range({"query": "a"}, SETTINGS, now_ns=NOW).query == "a"
    assert parse_instant({"q": "b", "query": "a"}, SETTINGS, now_ns=NOW).query == "b"
    with pytest.raises(InvalidRequestError, match="exceeds the configured maximum size"):
        parse_range({"query": "a" * 131073}, SETTINGS, now_ns=NOW)


@pytest.mark.parametrize(
    ("length_s", "step_s"),
    [
        (1, 0.05),
        (30, 0.1),
        (59, 0.2),
        (60, 1),
        (300, 1),
        (900, 3),
        (1800, 5),
        (3600, 15),
        (3 * 3600, 45),
        (6 * 3600, 60),
        (12 * 3600, 180),
        (24 * 3600, 300),
        (1000 * 3600, 4 * 3600),
    ],
)
def test_the_default_step_makes_about_240_points(length_s: int, step_s: float) -> None:
    assert default_step_ns(length_s * SECOND_NS) == step_s * SECOND_NS


def grid(start_s: float, end_s: float, step_s: float, **settings: float) -> Grid:
    request = MetricsRequest(
        query="",
        start_ns=round(start_s * SECOND_NS),
        end_ns=round(end_s * SECOND_NS),
        step_ns=round(step_s * SECOND_NS),
    )
    return grid_of(request, QuerySettings(**settings), now_ns=NOW)  # type: ignore[arg-type]


def test_a_range_is_widened_to_whole_steps_and_by_one_in_front() -> None:
    found = grid(NOON + 7, NOON + 60, 15)
    assert [found.time_ns(k) // SECOND_NS - NOON for k in range(found.count)] == [0, 15, 30, 45, 60]
    assert grid(0.5, 3, 1) == Grid(origin_ns=0, step_ns=SECOND_NS, count=3)


def test_nothing_is_cut_off_unless_it_is_set() -> None:
    now = NOW // SECOND_NS
    assert grid(now - 60, now + 1, 20).end_ns == (now + 20) * SECOND_NS
    assert grid(now - 90, now, 10, metrics_end_cutoff_s=30).end_ns == (now - 30) * SECOND_NS
    with pytest.raises(InvalidRequestError, match="falls entirely within query_end_cutoff"):
        grid(now - 20, now, 10, metrics_end_cutoff_s=30)
    instant = MetricsRequest(
        query="", start_ns=NOW - 90 * SECOND_NS, end_ns=NOW + 5, is_instant=True
    )
    found = grid_of(instant, QuerySettings(metrics_end_cutoff_s=30), now_ns=NOW)
    assert found.end_ns == NOW + 5 - 31 * SECOND_NS
    assert found.count == 1


def test_limits_may_be_switched_off() -> None:
    assert grid(1, 900_000, 1, max_metrics_duration_s=0, max_metrics_intervals=0).count == 900_000


@pytest.mark.parametrize(
    ("asked", "set_to", "shown"), [(0, 0, 0), (5, 0, 5), (5, 3, 3), (2, 3, 2), (0, 3, 3)]
)
def test_series_are_limited_by_the_lower_bound(asked: int, set_to: int, shown: int) -> None:
    request = MetricsRequest(query="", start_ns=0, end_ns=SECOND_NS, series_max=asked)
    settings = QuerySettings(max_response_series=set_to)
    assert params_of(request, settings, now_ns=NOW).series_shown_max == shown


def test_an_instant_has_no_exemplars() -> None:
    request = parse_instant({"exemplars": "7"}, SETTINGS, now_ns=NOW)
    params = params_of(request, SETTINGS, now_ns=NOW)
    assert (params.exemplars, params.exemplars_max) == (0, 0)
