"""The golden files of the language: trees, refusals, and what must be accepted."""

from __future__ import annotations

import pytest
from support.traceql_golden import read_cases

import traceql


def _ids(cases: list[tuple[str, str]]) -> list[str]:
    return [identifier for identifier, _ in cases]


TREES = read_cases("traceql_trees.test")
REFUSED = read_cases("traceql_refused.test")
ACCEPTED = read_cases("traceql_accepted.test")
BEYOND = read_cases("traceql_accepted_beyond.test")

OUTCOMES = {
    "parse": traceql.ParseError,
    "invalid": traceql.CheckError,
    "unsupported": traceql.UnsupportedError,
}


@pytest.mark.parametrize(("identifier", "text"), TREES, ids=_ids(TREES))
def test_a_query_has_the_canonical_tree(identifier: str, text: str) -> None:
    query, _, tree = text.partition("\n")

    parsed = traceql.parse(query)

    assert traceql.render(parsed) == tree
    assert traceql.parse(tree) == parsed


@pytest.mark.parametrize(("identifier", "text"), REFUSED, ids=_ids(REFUSED))
def test_a_senseless_query_is_refused(identifier: str, text: str) -> None:
    query, _, outcome = text.rpartition("!")

    with pytest.raises(traceql.QueryError) as caught:
        traceql.check(traceql.parse(query.strip()), query.strip())

    assert type(caught.value) is OUTCOMES[outcome.strip()]
    assert caught.value.explain()
    if outcome.strip() == "unsupported":
        assert str(caught.value).endswith("not yet supported")


def test_the_reference_lists_83_refused_queries() -> None:
    listed = [one for one in _ids(REFUSED) + _ids(BEYOND) if one.startswith("X")]

    assert sorted(listed) == [f"X{number:02}" for number in range(1, 84)]


@pytest.mark.parametrize(("identifier", "query"), ACCEPTED, ids=_ids(ACCEPTED))
def test_a_query_of_the_reference_is_planned_and_reads_back(identifier: str, query: str) -> None:
    parsed = traceql.parse(query)
    traceql.check(parsed, query)

    assert traceql.parse(traceql.render(parsed)) == parsed
    if not isinstance(parsed.body, traceql.nodes.MetricsMath):
        planned = traceql.plan(parsed)
        assert traceql.rewrite(planned.pipeline) == planned.pipeline


@pytest.mark.parametrize(("identifier", "text"), BEYOND, ids=_ids(BEYOND))
def test_what_is_accepted_beyond_the_original_reads_back(identifier: str, text: str) -> None:
    query = text.rpartition(" ! ")[0]

    parsed = traceql.parse(query)
    traceql.check(parsed, query)

    assert traceql.parse(traceql.render(parsed)) == parsed
