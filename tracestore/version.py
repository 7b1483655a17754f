"""The version of the installed package."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def package_version() -> str:
    """Get the version; ``0.0.0`` in a source tree that is not installed."""
    try:
        return metadata.version("tracestore")
    except metadata.PackageNotFoundError:
        return "0.0.0"
