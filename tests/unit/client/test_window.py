"""Windows as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tracestore.client.window import resolve_window
from tracestore.errors import InvalidRequestError

NOW_NS = 1_700_000_000_500_000_000
NOW_S = 1_700_000_001
"""Rounded up: what happens in this second belongs to the window."""


@pytest.mark.parametrize(
    ("given", "window"),
    [
        ({}, None),
        ({"last": "1h"}, (NOW_S - 3600, NOW_S)),
        ({"last": "1h30m"}, (NOW_S - 5400, NOW_S)),
        ({"last": 90}, (NOW_S - 90, NOW_S)),
        ({"last": timedelta(minutes=2)}, (NOW_S - 120, NOW_S)),
        ({"last": "250ms"}, (NOW_S - 1, NOW_S)),
        ({"last": "7d"}, (NOW_S - 7 * 86400, NOW_S)),
        ({"start": "2h"}, (1_700_000_000 - 7200, NOW_S)),
        ({"start": "-2h"}, (1_700_000_000 - 7200, NOW_S)),
        ({"start": "2h", "end": "1h"}, (1_700_000_000 - 7200, NOW_S - 3600)),
        ({"start": "2h", "end": "now"}, (1_700_000_000 - 7200, NOW_S)),
        ({"start": 100, "end": 200}, (100, 200)),
        ({"start": "100.9", "end": "199.1"}, (100, 200)),
        ({"start": "2023-11-14", "end": "2023-11-15"}, (1_699_920_000, 1_700_006_400)),
        ({"start": "2023-11-14T00:00:00Z"}, (1_699_920_000, NOW_S)),
        ({"start": "2023-11-14T02:00:00+02:00"}, (1_699_920_000, NOW_S)),
        ({"start": datetime(2023, 11, 14, tzinfo=UTC)}, (1_699_920_000, NOW_S)),
        ({"start": datetime(2023, 11, 14)}, (1_699_920_000, NOW_S)),  # noqa: DTZ001 - naive is UTC
        (
            {"start": datetime(2023, 11, 14, 2, tzinfo=timezone(timedelta(hours=2)))},
            (1_699_920_000, NOW_S),
        ),
        ({"last": "1h", "end": 10_000}, (6_400, 10_000)),
        ({"last": "100y", "end": 10_000}, (0, 10_000)),
    ],
)
def test_a_window(given: dict[str, Any], window: tuple[int, int] | None) -> None:
    assert resolve_window(**given, now_ns=NOW_NS) == window


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"last": "1h", "start": 1}, "give last or start, not both"),
        ({"end": 1}, "end needs start or last"),
        ({"last": "soon"}, "last: expected a duration with a unit, .* got 'soon'"),
        ({"last": "-1h"}, "last: expected a duration above 0"),
        ({"last": 0}, "last: expected a duration above 0"),
        ({"start": "yesterday"}, "start: expected a time such as .* got 'yesterday'"),
        ({"start": 200, "end": 200}, "the window is empty: start 200, end 200"),
        ({"start": 1, "end": 1 << 32}, "end: the year 2106"),
    ],
)
def test_what_is_no_window(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        resolve_window(**given, now_ns=NOW_NS)
