"""Values of settings as a person may see them: plain values of YAML and JSON, secrets masked."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from tracestore.settings.mask import MASK
from tracestore.settings.remote_write import RemoteWriteSettings
from tracestore.settings.render_remote_write import render_remote_write
from tracestore.settings.text_map import TextMap

_SECRET = re.compile(r"(^|_)(secret|password|token|credentials|secret_key|access_key)(_|$)")
_HEADERS = "remote_write_headers"
"""A mapping all of whose values may be secrets."""


def shown(value: Any, name: str = "") -> object:
    """Make a value that may be shown; of records what is null is left out.

    Args:
        name: key under which the value stands.
    """
    if value and (name == _HEADERS or _SECRET.search(name)):
        return dict.fromkeys(dict(value), MASK) if name == _HEADERS else MASK
    if isinstance(value, TextMap):
        return dict(value)
    if isinstance(value, dict):
        return {key: shown(each, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [shown(each) for each in value]
    if isinstance(value, RemoteWriteSettings):
        return dict(render_remote_write(value))
    if not dataclasses.is_dataclass(value):
        return value
    fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    return {key: shown(each, key) for key, each in fields if each is not None}
