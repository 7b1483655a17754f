"""Three nodes on a real S3 server, broken at random under load: nothing acknowledged is lost.

The long round is ``bench/chaos.py``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.chaos import running_chaos
from support.s3 import S3Place, s3, s3_server  # noqa: F401 - fixtures

SECONDS = 25.0


@pytest.mark.timeout(240)
def test_a_short_round(s3: S3Place, tmp_path: Path) -> None:  # noqa: F811 - a fixture
    def flags(endpoint: str) -> list[str]:
        return S3Place(settings=replace(s3.settings, endpoint=endpoint)).flags()

    with running_chaos(tmp_path, flags, s3.settings.endpoint, seed=5, rate=20) as chaos:
        chaos.faults.refuse, chaos.faults.reset = 0.02, 0.01
        chaos.faults.lose, chaos.faults.delay = 0.01, 0.02
        report = chaos.run(SECONDS)
    assert report.wrong == [], str(report)
    assert report.acknowledged_spans > 1000
    assert report.merges > 0
    assert report.queries["metrics"] > 5
    assert report.queries["trace by ID"] > 5
    assert report.faults["kill -9"] + report.faults["pause"] + report.faults["restart"] >= 3
