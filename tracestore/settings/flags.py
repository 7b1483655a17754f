"""The flags of the commands: single or double dash, as Tempo's users type them.

Source: HTTP API reference, section 19.1; Go's ``flag`` package (``-name=value``, ``-name value``,
a boolean alone is true).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tracestore.errors import SettingsError
from tracestore.settings import units
from tracestore.settings.assignments import Layer, unknown_key
from tracestore.settings.leaves import leaves
from tracestore.settings.schema import Ignored, Refused, Section, Target, find
from tracestore.settings.tempo_keys import FLAG_ALIASES, FLAGS_WITHOUT_MEANING

_FILE_FLAGS = frozenset({"config", "config.file"})
_SWITCHES = frozenset({"config.expand-env", "config.verify", "version", "health", "help", "h"})
_HEALTH_URL = "health.url"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """A command line, taken apart."""

    config_file: str | None = None
    switches: frozenset[str] = frozenset()
    health_url: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    """Values of the flags that the caller named."""
    layer: Layer = field(default_factory=Layer)
    """What the flags say of the settings."""


def parse_arguments(argv: Sequence[str], *, extra: frozenset[str] = frozenset()) -> Arguments:
    """Take a command line apart.

    Args:
        extra: names of further flags, which have values and are no settings.

    Raises:
        SettingsError: a flag is unknown, lacks its value or has one of the wrong type.
    """
    layer = Layer()
    switches: set[str] = set()
    values: dict[str, str] = {}
    rest = list(argv)
    while rest:
        token = rest.pop(0)
        dashes = len(token) - len(token.lstrip("-"))
        if dashes not in (1, 2) or len(token) == dashes:
            raise SettingsError(f"unexpected argument {token!r}; see tracestore --help")
        name, equals, text = token[dashes:].partition("=")
        value: str | None = text if equals else None
        if name in _SWITCHES:
            if value is None or _boolean(name, value):
                switches.add("help" if name == "h" else name)
            continue
        origin = f"flag --{name}"
        path = _path(name)
        known_here = name in extra | _FILE_FLAGS | FLAGS_WITHOUT_MEANING | {_HEALTH_URL}
        if not known_here and find(path) is None:
            raise unknown_key(path, origin)
        if value is None:
            value = "true" if _may_stand_alone(name, rest) else _next_value(name, rest)
        if name in _FILE_FLAGS:
            if value:
                values["config"] = value
        elif name in FLAGS_WITHOUT_MEANING:
            layer.warnings.append(f"{origin} has no effect: there is nothing like it here")
        elif known_here:
            values[name] = value
        else:
            _give(layer, path, value, origin)
    return Arguments(
        config_file=values.pop("config", None),
        switches=frozenset(switches),
        health_url=values.pop(_HEALTH_URL, None),
        extra=values,
        layer=layer,
    )


def _path(name: str) -> list[str]:
    return FLAG_ALIASES.get(name, name).replace("-", "_").split(".")


def _give(layer: Layer, path: Sequence[str], value: str, origin: str) -> None:
    match find(path):
        case Section():
            raise SettingsError(f"{origin} is a section of the settings, not a value")
        case Target(leaf):
            earlier = layer.values.get(leaf)
            if earlier is not None and earlier.origin == origin:
                # As in Go, the last of several equal flags holds.
                del layer.values[leaf]
    layer.give(path, value, origin)


def _may_stand_alone(name: str, rest: Sequence[str]) -> bool:
    """Tell whether a flag without ``=`` has no value.

    The type of a flag without meaning is not known: it takes what follows unless that is a flag.
    """
    known = find(_path(name))
    if isinstance(known, Target):
        return leaves()[known.path].parse is units.parse_boolean
    if isinstance(known, Ignored | Refused):
        return name.endswith("enabled") or not rest or rest[0].startswith("-")
    return name in FLAGS_WITHOUT_MEANING and (not rest or rest[0].startswith("-"))


def _next_value(name: str, rest: list[str]) -> str:
    if not rest:
        raise SettingsError(f"flag --{name} needs a value")
    return rest.pop(0)


def _boolean(name: str, text: str) -> bool:
    try:
        return units.parse_boolean(text)
    except ValueError as error:
        raise SettingsError(f"flag --{name}: {error}, got {text!r}") from error
