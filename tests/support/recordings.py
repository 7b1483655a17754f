"""Reads the recordings of real systems, which lie beside the repository and are no part of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Where the recordings lie; its README tells what is in them."""

ONLINE_BOUTIQUE = "online-boutique"
TRAIN_TICKET = "train-ticket"


def is_there(name: str) -> bool:
    """Tell whether a recording lies where it is looked for."""
    return (SHARED_DATA / f"{name}.otlp.zst").exists()


def recording_path(name: str) -> Path:
    """Find a recording. Without it the test is skipped, in CI (which has to have it) failed."""
    path = SHARED_DATA / f"{name}.otlp.zst"
    if not is_there(name):
        message = f"recording {path} is missing"
        if os.environ.get("CI") == "true":  # noqa: TID251 - tests may look at the environment
            pytest.fail(message)
        pytest.skip(message)
    return path


def read_recording(name: str, *, requests_max: int | None = None) -> Iterator[bytes]:
    """Iterate over the requests of a recording, in the order sent."""
    with pa.input_stream(str(recording_path(name)), compression="zstd") as stream:
        number = 0
        while requests_max is None or number < requests_max:
            header = stream.read(4)
            if len(header) < 4:
                assert not header, f"recording {name} is cut off"
                return
            yield stream.read(int.from_bytes(header, "little"))
            number += 1
