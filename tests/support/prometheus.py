"""A real Prometheus (Debian's package) as a process of its own, which takes remote write.

with running_prometheus(tmp_path) as prometheus:
    prometheus.write_url
    prometheus.query("up", time_s)
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from support.server import free_ports, wait_until

PROGRAM = shutil.which("prometheus")


def require_prometheus() -> str:
    """Get the program; without it the test is skipped, or fails where nothing may be skipped."""
    if PROGRAM is not None:
        return PROGRAM
    message = "no prometheus: apt-get install prometheus"
    if os.environ.get("CI"):  # noqa: TID251 - tests/ may look
        pytest.fail(message)
    pytest.skip(message)


@dataclass
class Prometheus:
    """A running Prometheus, and where it answers."""

    process: subprocess.Popen[bytes]
    url: str
    log_path: Path

    @property
    def write_url(self) -> str:
        """Where remote write goes."""
        return f"{self.url}/api/v1/write"

    def get(self, path: str, **params: object) -> Any:
        """Ask the API. Returns: ``data`` of the answer."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=params, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def query(self, expression: str, time_s: float) -> list[dict[str, Any]]:
        """Ask for a vector at a time."""
        return self.get("query", query=expression, time=time_s)["result"]

    def samples(self, selector: str, time_s: float, range_s: int = 3600) -> dict[str, list[Any]]:
        """Get the raw samples of series: labels as sorted text -> [time in s, value as text]."""
        found = self.query(f"{selector}[{range_s}s]", time_s)
        return {
            ",".join(f"{k}={v}" for k, v in sorted(each["metric"].items())): each["values"]
            for each in found
        }

    def exemplars(self, selector: str, start_s: float, end_s: float) -> list[dict[str, Any]]:
        """Get exemplars by series."""
        return self.get("query_exemplars", query=selector, start=start_s, end=end_s)

    def stop(self) -> None:
        """End it; what it took is on its disk."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)


def start_prometheus(
    directory: Path, *flags: str, port: int | None = None, scrape: Sequence[str] = ()
) -> Prometheus:
    """Start Prometheus on a directory of its own, which it may have had before.

    Args:
        flags: more of them.
        port: of its API; None: a free one.
        scrape: URLs that it scrapes each second.
    """
    program = require_prometheus()
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "prometheus.yml"
    targets = [urlsplit(url) for url in scrape]
    jobs = [
        {
            "job_name": f"job-{i}",
            "scrape_interval": "1s",
            "metrics_path": target.path,
            "static_configs": [{"targets": [target.netloc]}],
        }
        for i, target in enumerate(targets)
    ]
    config.write_text(json.dumps({"scrape_configs": jobs}))
    if port is None:
        (port,) = free_ports(1)
    log_path = directory / "log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--web.enable-remote-write-receiver",
                "--enable-feature=exemplar-storage,native-histograms",
                "--log.level=warn",
                *flags,
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return Prometheus(process=process, url=f"http://127.0.0.1:{port}", log_path=log_path)


def wait_prometheus(prometheus: Prometheus) -> None:
    """Wait until it answers, or tell what it logged."""

    def ready() -> bool:
        if prometheus.process.poll() is not None:
            raise RuntimeError(f"prometheus ended:\n{prometheus.log_path.read_text()}")
        try:
            return httpx.get(f"{prometheus.url}/-/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(ready, 30)


@contextmanager
def running_prometheus(
    directory: Path, *flags: str, port: int | None = None, scrape: Sequence[str] = ()
) -> Iterator[Prometheus]:
    """Start Prometheus, wait until it is ready, and end it with the block."""
    prometheus = start_prometheus(directory, *flags, port=port, scrape=scrape)
    try:
        wait_prometheus(prometheus)
        yield prometheus
    finally:
        prometheus.stop()
