"""Parameters of the trace-by-ID routes, as the wire contract lists them."""

from __future__ import annotations

import pytest

from tracestore.api.trace_params import TraceFormat, TraceParams, parse_trace_by_id
from tracestore.codec.trace_prune import Kept
from tracestore.errors import InvalidRequestError
from tracestore.model.times import SECOND_NS, TimeRange
from tracestore.settings.tree import QuerySettings


def parse(**query: str) -> TraceParams:
    return parse_trace_by_id(query, QuerySettings())


def test_nothing_asks_for_all_of_the_trace() -> None:
    assert parse() == TraceParams(time_range=None)


def test_what_changes_nothing_is_taken() -> None:
    low, high = "00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"

    assert parse(mode="blocks", blockStart=low, blockEnd=high, span_pruning="true") == parse()


def test_a_window_includes_the_second_of_its_end() -> None:
    assert parse(end="5").time_range == TimeRange(start_ns=0, end_ns=6 * SECOND_NS)


def test_a_filter_and_what_stays_beside_its_spans() -> None:
    params = parse(
        q="{ .a = 1 }", keep_hierarchy="true", match_depth="2", ancestor_depth="0", format="text"
    )

    assert params.query == "{ .a = 1 }"
    assert params.kept == Kept(hierarchy=True, match_depth=2, ancestor_depth=0)
    assert params.format is TraceFormat.TEXT


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"mode": "x"}, "invalid value for mode x"),
        ({"start": "7", "end": "3"}, "http parameter start must be before end"),
        ({"start": "x"}, "invalid start: "),
        ({"blockStart": "7"}, "invalid value for blockstart: "),
        ({"blockEnd": "x"}, "invalid value for blockEnd: "),
        ({"match_depth": "-2"}, "invalid value for match_depth: must be >= -1"),
        ({"match_depth": "many"}, "invalid value for match_depth: must be >= -1"),
        ({"keep_hierarchy": "maybe"}, "invalid keep_hierarchy: "),
        ({"format": "xml"}, "invalid format: "),
        ({"q": "x" * 200_000}, "TraceQL expression exceeds"),
    ],
)
def test_bad_parameters_are_refused(query: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        parse(**query)
