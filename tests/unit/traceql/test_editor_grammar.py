"""What Grafana's query editor accepts is accepted: its own grammar reads our corpus of queries."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from support import npm
from support.traceql_golden import GOLDEN, read_cases

import traceql

PACKAGES = ["@grafana/lezer-traceql@1.0.0", "@lezer/lr@1.4.2"]
SCRIPT = Path(__file__).parents[2] / "support" / "lezer_errors.mjs"
REFUSED_BY_TEMPO = {
    "{ .http.status = 200 } | count() > 3 && { .b }": "an aggregate is no operand of &&",
}
"""Queries of the corpus that the editor accepts, though neither Tempo nor we do, and why."""


def corpus() -> list[str]:
    lines = (GOLDEN / "queries.txt").read_text(encoding="utf-8").splitlines()
    written = [line for line in lines if line and not line.startswith("#")]
    listed = [text for _, text in read_cases("traceql_accepted.test")]
    return list(dict.fromkeys([*written, *listed]))


pytestmark = pytest.mark.timeout(npm.INSTALL_S_MAX + 120)


@pytest.fixture(scope="module")
def editor(request: pytest.FixtureRequest) -> Path:
    """Install the real package once. Where there is no npm the tests are skipped, but not in CI."""
    assert request.config.cache is not None
    directory = npm.install(request.config.cache, "lezer-traceql", PACKAGES)
    return npm.copy_script(directory, SCRIPT)


@pytest.fixture(scope="module")
def stumbles(editor: Path) -> dict[str, list[str]]:
    queries = corpus()
    found = subprocess.run(
        ["node", editor],
        input=json.dumps(queries),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return dict(zip(queries, json.loads(found.stdout), strict=True))


def test_the_corpus_says_something(stumbles: dict[str, list[str]]) -> None:
    accepted = [query for query, errors in stumbles.items() if not errors]
    assert len(accepted) >= 400
    assert set(accepted) >= set(REFUSED_BY_TEMPO)


def test_what_the_editor_accepts_we_accept(stumbles: dict[str, list[str]]) -> None:
    refused = {}
    for query, errors in stumbles.items():
        try:
            traceql.check(traceql.parse(query), query)
        except traceql.QueryError as error:
            if not errors:
                refused[query] = str(error)
    assert set(refused) == set(REFUSED_BY_TEMPO), refused
