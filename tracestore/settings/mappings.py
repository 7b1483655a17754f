"""One entry of a list of mappings in a configuration file, read key by key.

For parts of Prometheus' configuration, which are lists of mappings and thus no leaves of our tree.
Values may be texts as written or what a YAML loader made of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from tracestore.errors import SettingsError
from tracestore.settings import units

T = TypeVar("T")


@dataclass(slots=True)
class Entry:
    """A mapping, where it stands, and the keys that were asked for."""

    config: Mapping[str, object]
    where: str
    known: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, config: object, where: str) -> Entry:
        """Take a mapping; null is an empty one. Raises: SettingsError for anything else."""
        if config is None:
            return cls({}, where)
        if not isinstance(config, Mapping):
            raise SettingsError(f"{where}: expected a mapping, got {_shown(config)}")
        return cls({str(key): value for key, value in config.items()}, where)

    def has(self, key: str) -> bool:
        """Tell whether a key is there with a value."""
        self.known.add(key)
        return self.config.get(key) is not None

    def section(self, key: str) -> Entry:
        """Get the mapping below a key, empty if there is none."""
        self.known.add(key)
        return Entry.of(self.config.get(key), f"{self.where}.{key}")

    def items(self, key: str) -> list[tuple[object, str]]:
        """Get a list below a key, each item with where it stands."""
        self.known.add(key)
        value = self.config.get(key)
        if value is None:
            return []
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise SettingsError(f"{self.where}.{key}: expected a list, got {_shown(value)}")
        return [(item, f"{self.where}.{key}[{i}]") for i, item in enumerate(value)]

    def text(self, key: str, default: str = "") -> str:
        """Get a text."""
        return self._scalar(key, default, units.parse_text)

    def texts(self, key: str) -> tuple[str, ...]:
        """Get a list of texts."""
        return tuple(_scalar_text(item, where) for item, where in self.items(key))

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """Get a mapping of texts to texts."""
        below = self.section(key)
        return tuple(
            (name, "" if value is None else _scalar_text(value, f"{below.where}.{name}"))
            for name, value in below.config.items()
        )

    def boolean(self, key: str, default: bool) -> bool:
        """Get true or false."""
        return self._scalar(key, default, units.parse_boolean)

    def integer(self, key: str, default: int, *, least: int) -> int:
        """Get a whole number, not below ``least``."""
        value = self._scalar(key, default, units.parse_integer)
        if value < least:
            raise SettingsError(f"{self.where}.{key}: must be {least} or more, got {value}")
        return value

    def seconds(self, key: str, default: float, *, positive: bool = True) -> float:
        """Get a duration with a unit."""
        value = self._scalar(key, default, units.parse_unit_duration)
        if value < 0 or (positive and value == 0):
            least = "above 0" if positive else "0 or more"
            raise SettingsError(f"{self.where}.{key}: must be {least}, got {value:g}s")
        return value

    def finish(self) -> None:
        """Refuse the keys that nobody asked for. Raises: SettingsError."""
        for key in self.config:
            if key not in self.known:
                (near,) = difflib.get_close_matches(key, sorted(self.known), n=1, cutoff=0.0)
                raise SettingsError(
                    f"{self.where}: unknown key {key}; the nearest known one is {near}"
                )

    def _scalar(self, key: str, default: T, parse: Callable[[str], T]) -> T:
        self.known.add(key)
        value = self.config.get(key)
        if value is None:
            return default
        text = _scalar_text(value, f"{self.where}.{key}")
        try:
            return parse(text)
        except (ValueError, OverflowError) as error:
            raise SettingsError(f"{self.where}.{key}: {error}, got {text!r}") from error


def _scalar_text(value: object, where: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise SettingsError(f"{where}: expected a single value, got {_shown(value)}")


def _shown(value: object) -> str:
    names = {dict: "a mapping", list: "a list", tuple: "a list", type(None): "nothing"}
    return names.get(type(value), repr(value) if len(repr(value)) < 40 else "a longer text")
