"""Where commands of operators find blocks and index: a directory, a bucket, what settings name."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

from tracestore.clock import SystemClock
from tracestore.errors import SettingsError
from tracestore.settings.flags import Arguments, parse_arguments
from tracestore.settings.load import load_settings
from tracestore.settings.tree import Settings
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.local import LocalObjectStore

BUCKET_SCHEME = "s3://"
WHERE_USAGE = """\
  --data DIR             a data directory
  --data s3://NAME/PATH  a bucket, and the prefix in it; keys by the usual AWS settings
  --config FILE          what the settings of a server name; its flags work too:
                         --storage.s3.endpoint=HOST:PORT
"""


class NoMetrics:
    """Nobody looks at the requests of a command."""

    def request(
        self, operation: str, outcome: str, seconds: float, sent_bytes: int, received_bytes: int
    ) -> None:
        """Forget it."""


def parse_where(
    argv: Sequence[str], *, switches: frozenset[str], values: frozenset[str]
) -> tuple[Arguments, frozenset[str]]:
    """Take apart the flags of a command and those of the settings, ``--data`` among them.

    Args:
        switches: flags of the command without a value.
        values: flags of the command with one; they are in ``extra`` of the arguments.

    Returns: the arguments, and which switches were given.
    Raises: SettingsError.
    """
    given = {word.lstrip("-") for word in argv if word.startswith("-")} & switches
    rest = [word for word in argv if not (word.startswith("-") and word.lstrip("-") in given)]
    rest = [word for flag in _spread(rest) for word in flag]
    return parse_arguments(rest, extra=values), frozenset(given)


def read_settings(arguments: Arguments) -> Settings:
    """Read the settings, with warnings on stderr. Raises: SettingsError."""
    loaded = load_settings(arguments)
    for warning in loaded.warnings:
        print(f"tracestore: warning: {warning}", file=sys.stderr)
    return loaded.settings


def open_bucket(settings: Settings, *, writes: bool) -> ObjectStore:
    """Open what the settings name. Raises: SettingsError."""
    storage = settings.storage
    if storage.backend == "s3":
        from tracestore.storage.objects.s3_start import open_s3

        rng = random.SystemRandom()
        return open_s3(storage.s3, NoMetrics(), SystemClock(), rng, writes=writes)
    if not Path(storage.path).is_dir():
        raise SettingsError(f"there is no data directory {storage.path}")
    return LocalObjectStore(storage.path, clock=SystemClock(), read_only=not writes)


def _spread(words: Sequence[str]) -> list[list[str]]:
    """Write ``--data`` as the settings that it stands for."""
    spread: list[list[str]] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, place = word.lstrip("-").partition("=")
        if name != "data" or not word.startswith("-"):
            spread.append([word])
            continue
        if not equals:
            if not rest:
                raise SettingsError("flag --data needs a value: a directory, or s3://BUCKET/PREFIX")
            place = rest.pop(0)
        spread.append(_place_flags(place))
    return spread


def _place_flags(place: str) -> list[str]:
    if not place.startswith(BUCKET_SCHEME):
        return ["--storage.backend=local", f"--storage.path={place}"]
    bucket, _, prefix = place.removeprefix(BUCKET_SCHEME).partition("/")
    if not bucket:
        raise SettingsError(f"flag --data: {place!r} names no bucket: s3://BUCKET/PREFIX")
    flags = ["--storage.backend=s3", f"--storage.s3.bucket={bucket}"]
    return [*flags, f"--storage.s3.prefix={prefix.strip('/')}"] if prefix.strip("/") else flags
