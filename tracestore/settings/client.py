"""What the asking commands take from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

URL_VARIABLE = "TRACESTORE_URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientEnvironment:
    """Where to ask, and whether the terminal shows colours."""

    url: str | None
    colour: bool


def read_client_environment(environ: Mapping[str, str] | None = None) -> ClientEnvironment:
    """Read ``TRACESTORE_URL``, ``NO_COLOR`` (https://no-color.org) and ``TERM``.

    Args:
        environ: the environment; None: that of the process.
    """
    if environ is None:
        environ = os.environ  # noqa: TID251 - settings read it, nobody else
    return ClientEnvironment(
        url=environ.get(URL_VARIABLE) or None,
        colour=not environ.get("NO_COLOR") and environ.get("TERM") != "dumb",
    )
