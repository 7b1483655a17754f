"""What the engine cannot do is said before any source is looked at."""

from __future__ import annotations

import pytest
from support.query import plan

from traceql import UnsupportedError


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ('{ event:name = "x" }', "event:name"),
        ("{ link.rel = 1 }", "link.rel"),
        ("{ parent.a = 1 }", "parent.a"),
        ("{} >> {}", "operators between spansets"),
        ("{} | count() > 1", "pipelines"),
        ("{} | rate()", "metrics"),
    ],
)
def test_what_is_not_there_yet_is_named(query: str, what: str) -> None:
    with pytest.raises(UnsupportedError, match=what):
        plan(query)


@pytest.mark.parametrize(
    ("query", "needs"),
    [
        ("{ traceDuration > 1s }", True),
        ("{ nestedSetParent < 0 || .a = 1 }", True),
        ('{ trace:id = "1" && name = "x" }', False),
    ],
)
def test_fields_of_whole_traces_are_known(query: str, needs: bool) -> None:
    assert plan(query).needs_whole_trace is needs
