"""What an object key may be, held alike by every backend.

A key becomes a path below the data directory, so a key that leaves it must be refused before any
backend sees it.
"""

from __future__ import annotations

from tracestore.errors import InvalidRequestError

KEY_BYTES_MAX = 1024
PART_BYTES_MAX = 200
"""Below the 255 bytes that file systems allow a name, with room for a suffix."""
RESERVED_PART = "@tracestore"
"""First part of keys that a backend keeps for itself; no tenant may carry an ``@``."""


def check_key(key: str) -> None:
    """Refuse a key that is not a plain relative path.

    Raises: InvalidRequestError naming the key and what is wrong with it.
    """
    reason = _fault(key)
    if reason is not None:
        raise InvalidRequestError(f"object key {key!r} {reason}")


def check_prefix(prefix: str) -> None:
    """Refuse a listing prefix that no key could start with for the sake of its path.

    Raises: InvalidRequestError.
    """
    if prefix.startswith("/") or "\\" in prefix or _has_control(prefix):
        raise InvalidRequestError(f"listing prefix {prefix!r} is not the start of an object key")
    if any(part in ("", ".", "..") for part in prefix.split("/")[:-1]):
        raise InvalidRequestError(f"listing prefix {prefix!r} is not the start of an object key")


def is_key(key: str) -> bool:
    """Tell whether ``check_key`` would accept it; for names found rather than given."""
    return _fault(key) is None


def _fault(key: str) -> str | None:
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return "is not valid unicode"
    if not 0 < len(encoded) <= KEY_BYTES_MAX:
        return f"has {len(encoded)} bytes, not 1 to {KEY_BYTES_MAX}"
    if "\\" in key or _has_control(key):
        return "contains a backslash or a control character"
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "has an empty, '.' or '..' part"
    if any(len(part.encode()) > PART_BYTES_MAX for part in parts):
        return f"has a part longer than {PART_BYTES_MAX} bytes"
    if parts[0] == RESERVED_PART:
        return f"starts with the reserved part {RESERVED_PART}"
    return None


def _has_control(text: str) -> bool:
    return any(character < " " or character == "\x7f" for character in text)
