"""What addresses of members may look like."""

from __future__ import annotations

import re
from collections.abc import Sequence

_HOST = r"(?:\[[0-9a-fA-F:.%\w]+\]|[^:\[\]/\s,]+)"
_ADDRESS = re.compile(rf"{_HOST}:(?P<port>[0-9]{{1,5}})")
_NAME = re.compile(rf"{_HOST}(?::(?P<port>[0-9]{{1,5}}))?")

PATHS = ("members.dns", "members.static", "members.advertise")


def wrong_members(path: str, value: object) -> str | None:
    """Say what is wrong with one of ``PATHS``, None if nothing is."""
    if path == "members.static":
        assert isinstance(value, Sequence)
        bad = [address for address in value if not _matches(_ADDRESS, address)]
        return f"expected host:port for each member, not {bad[0]!r}" if bad else None
    if not value:
        return None
    if path == "members.dns":
        expected = "expected a host name, with or without :port"
        return None if _matches(_NAME, str(value)) else expected
    return None if _matches(_ADDRESS, str(value)) else "expected host:port"


def _matches(pattern: re.Pattern[str], text: str) -> bool:
    match = pattern.fullmatch(text)
    return match is not None and (match["port"] is None or 0 < int(match["port"]) <= 65535)
