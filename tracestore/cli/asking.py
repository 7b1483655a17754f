"""What the commands that ask have in common: their flags, where they ask, how they fail."""

from __future__ import annotations

import difflib
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import traceql
from tracestore.cli.progress import progress
from tracestore.cli.screen import Screen
from tracestore.client.store import Store, open_store
from tracestore.clock import SystemClock
from tracestore.errors import SettingsError
from tracestore.settings import units
from tracestore.settings.client import URL_VARIABLE, ClientEnvironment, read_client_environment

T = TypeVar("T")

DEFAULT_URL = "http://localhost:3200"
WHERE_FLAGS = frozenset({"server", "data", "tenant", "output"})
WHERE_USAGE = f"""\
  --server URL       ask a server [{DEFAULT_URL}, or what {URL_VARIABLE} says]
  --data DIR         read a data directory, whether a server runs on it or not
  --data s3://B/P    read a bucket; TRACESTORE_STORAGE__S3__ENDPOINT and the AWS settings hold
  --tenant NAME      whose spans are looked at, where there are tenants; a|b for several
"""
QUERY_FAILED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """A command line, taken apart."""

    values: dict[str, str] = field(default_factory=dict)
    switches: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()

    def integer(self, name: str) -> int | None:
        """Get a value as a number; None if it is not given. Raises: SettingsError."""
        text = self.values.get(name)
        if text is None:
            return None
        try:
            return units.parse_integer(text)
        except ValueError as error:
            raise SettingsError(f"flag --{name}: {error}, got {text!r}") from error

    def choice(self, name: str, known: Sequence[str]) -> str:
        """Get a value of a few, the first by default. Raises: SettingsError."""
        text = self.values.get(name, known[0])
        if text not in known:
            raise SettingsError(f"flag --{name}: expected {', '.join(known)}, got {text!r}")
        return text


def parse_flags(
    argv: Sequence[str], *, values: frozenset[str], switches: frozenset[str], words_max: int
) -> Flags:
    """Take a command line apart: ``--flag value``, ``--flag=value``, one dash or two.

    Args:
        values: flags with a value, which may begin with a dash itself (``--sort -start``).
        switches: flags without; ``help`` is always one.

    Raises: SettingsError.
    """
    found: dict[str, str] = {}
    switched: set[str] = set()
    words: list[str] = []
    rest = list(argv)
    while rest:
        token = rest.pop(0)
        if not token.startswith("-") or len(token) == 1:
            words.append(token)
            continue
        name, equals, text = token.removeprefix("-").removeprefix("-").partition("=")
        if name in ("help", "h") and not equals:
            switched.add("help")
        elif name in switches and not equals:
            switched.add(name)
        elif name in values and (equals or rest):
            found[name] = text if equals else rest.pop(0)
        elif name in values:
            raise SettingsError(f"flag --{name} needs a value")
        else:
            raise SettingsError(_unknown(name, values | switches))
    if len(words) > words_max:
        raise SettingsError(f"unexpected argument {words[words_max]!r}; quote what has spaces")
    return Flags(values=found, switches=frozenset(switched), words=tuple(words))


def _unknown(name: str, known: frozenset[str]) -> str:
    nearest = difflib.get_close_matches(name, sorted(known), n=1)
    advice = f"did you mean --{nearest[0]}?" if nearest else "see --help"
    return f"unknown flag --{name}; {advice}"


def open_named(flags: Flags, environment: ClientEnvironment) -> Store:
    """Open what ``--server``, ``--data`` or the environment name.

    Raises: SettingsError, InvalidRequestError.
    """
    server, data = flags.values.get("server"), flags.values.get("data")
    tenant = flags.values.get("tenant")
    if server is not None and data is not None:
        raise SettingsError("give --server or --data, not both")
    if data is not None:
        is_place = data.startswith("s3://") or "://" not in data
        return open_store(data if is_place else f"./{data}", tenant=tenant)
    url = server or environment.url or DEFAULT_URL
    return open_store(url if "://" in url else f"http://{url}", tenant=tenant)


def run_asking(flags: Flags, ask: Callable[[Store], T], show: Callable[[Screen, T], None]) -> int:
    """Ask, with a sign of life on a terminal, and show the answer.

    Returns: the exit code; a mistake in the query is drawn on stderr. Raises: TracestoreError.
    """
    environment = read_client_environment()
    logging.basicConfig(format="tracestore: warning: %(message)s", level=logging.WARNING)
    errors = Screen.of(sys.stderr, colour=environment.colour)
    try:
        with progress(sys.stderr, "searching", SystemClock()):
            answer = ask(open_named(flags, environment))
    except traceql.QueryError as error:
        errors.write("tracestore: the query is not valid")
        for line in error.explain().splitlines():
            errors.write(line)
        return QUERY_FAILED
    show(Screen.of(sys.stdout, colour=environment.colour), answer)
    sys.stdout.flush()
    return 0
