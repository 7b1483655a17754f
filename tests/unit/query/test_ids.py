"""IDs compare as numbers: without regard to case and leading zeros. Reference 4.11."""

from __future__ import annotations

import pytest
from support.naive_tables import naive_tables
from support.otlp import link, request, span
from support.query import run_search

from tracestore.query.tables_source import TablesSource

SOURCE = TablesSource(
    naive_tables(
        [
            request(
                spans=[
                    span(trace=0xAB, id=0xCD, name="a", attributes={"x": "00CD", "y": "00aB"}),
                    span(
                        trace=0xAB,
                        id=0xCE,
                        parent=0xCD,
                        name="b",
                        attributes={"x": "cd", "y": "0xab"},
                        links=[link(0xEF << 64, 0x12)],
                    ),
                ]
            )
        ]
    ),
    "s",
)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('span:id = "CD"', "a"),
        ('span:id != "00000000000000000000CD"', "b"),
        ('span:id = "1000000000000000CD"', ""),
        ('span:id != "1000000000000000CD"', "ab"),
        ('trace:id = "0000000000000000000000000000000000000aB"', "ab"),
        ('trace:id = "1000000000000000000000000000000AB"', ""),
        ('trace:id != "1000000000000000000000000000000AB"', "ab"),
        ('trace:id = "xyz"', ""),
        ('trace:id != ""', "ab"),
        ('link:traceID = "eF0000000000000000"', "b"),
        ("span:id = span.x", "a"),
        ("span:id != .x", "b"),
        (".y = trace:id", "a"),
        ("span:parentID = .x", "b"),
        ('span:parentID = "0"', "a"),
        ('span:id =~ ".*cd"', "a"),
        ('span:id =~ ".*CD"', ""),
        ('span:id > "00000000000000cd"', "b"),
        ('trace:id =~ "ab"', "ab"),
    ],
)
def test_ids_are_numbers(expression: str, found: str) -> None:
    traces = run_search([SOURCE], f"{{ {expression} }}").traces

    assert "".join(sorted(s.name for t in traces for s in t.span_sets[0].spans)) == found
