"""One key given somewhere, resolved against the schema: a value for a leaf, a warning or an error.

Files, variables and flags all come through here, so a key means and says the same wherever it
stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from tracestore.errors import SettingsError
from tracestore.settings.leaves import leaves
from tracestore.settings.override_keys import successor
from tracestore.settings.remote_write import RemoteWriteSettings
from tracestore.settings.schema import Ignored, Refused, Section, Target, find, nearest
from tracestore.settings.structures import Structure
from tracestore.settings.tempo_keys import KeepDefaultError
from tracestore.settings.tenant_generator import odd_processors

_SAYS_NOTHING = frozenset({"", "false", "no", "off", "0", "~", "null"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A value for a leaf, and where it came from."""

    value: object
    origin: str


@dataclass(slots=True, kw_only=True)
class Layer:
    """What one source (the file, the environment, the command line) gives."""

    values: dict[str, Assignment] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    has_flat: bool = False
    """Whether the flat format of overrides was met, and warned of."""

    def give(self, path: Sequence[str], text: str | None, origin: str) -> None:
        """Take one key with its text.

        Args:
            path: the key as written, in our spelling or Tempo's.
            text: the value; None for null and for what is not a scalar under an ignored key.
            origin: where it stands, as a person would say it.

        Raises:
            SettingsError: the key is unknown or refused, the value is not of its type, or another
                spelling of the same key says something else.
        """
        name = ".".join(path)
        match find(path):
            case Target() as target:
                self._warn_of_flat(name, origin)
                self._set(name, target, text, origin)
            case Ignored(reason):
                self.warnings.append(f"{origin}: {name} has no effect: {reason}")
            case Refused(reason):
                if text is not None and not says_nothing(text):
                    raise SettingsError(f"{origin}: {name}: {reason}")
            case Section():
                if text is not None:
                    raise SettingsError(f"{origin}: {name} is a section, not a value")
            case None:
                raise unknown_key(path, origin)

    def give_value(self, path: Sequence[str], value: object, origin: str) -> None:
        """Take a key of a leaf with a value that is read already. Raises: SettingsError."""
        name = ".".join(path)
        target = find(path)
        assert isinstance(target, Target), name
        self._warn_of_flat(name, origin)
        self._keep(name, target, value, origin)

    def _set(self, name: str, target: Target, text: str | None, origin: str) -> None:
        leaf = leaves()[target.path]
        value: object
        if text is None or (leaf.nullable and text in ("null", "~")):
            if not leaf.nullable:
                return
            value = None
        else:
            try:
                value = target.parse(text)
            except KeepDefaultError:
                return
            except (ValueError, OverflowError) as error:
                got = "" if isinstance(target.parse, Structure) else f", got {text!r}"
                raise SettingsError(f"{origin}: {name}: {error}{got}") from error
        self._keep(name, target, value, origin, text)

    def _keep(
        self, name: str, target: Target, value: object, origin: str, text: str | None = None
    ) -> None:
        old = self.values.get(target.path)
        if old is not None and old.value != value:
            shown = f" = {text}" if not isinstance(target.parse, Structure) else ""
            raise SettingsError(
                f"{origin}: {name}{shown} contradicts {old.origin}, which sets the same"
            )
        self.warnings += [f"{origin}: {name}{text}" for text in _oddities(target, value)]
        self.values[target.path] = Assignment(value=value, origin=origin)

    def _warn_of_flat(self, name: str, origin: str) -> None:
        newer = successor(name)
        if newer is not None and not self.has_flat:
            self.has_flat = True
            self.warnings.append(
                f"{origin}: {name} is of the flat format of Tempo 2.x, which goes away: "
                f"write {newer}, and the others alike"
            )


def _oddities(target: Target, value: object) -> Iterator[str]:
    """Say what of a value has no effect."""
    if target.path.endswith(".metrics_generator.processors"):
        yield from (f": {text}" for text in odd_processors(cast("tuple[str, ...]", value)))
    if target.path == "metrics_generator.storage.remote_write":
        for remote in cast("tuple[RemoteWriteSettings, ...]", value):
            yield from remote.warnings


def says_nothing(text: str) -> bool:
    """Tell whether a text is empty, false, zero or null."""
    return text.strip().lower() in _SAYS_NOTHING


def unknown_key(path: Sequence[str], origin: str) -> SettingsError:
    """Make the error for a key that nobody knows."""
    return SettingsError(
        f"{origin}: unknown key {printable('.'.join(path))}; "
        f"the nearest known one is {nearest(path)}"
    )


def printable(text: str) -> str:
    """Keep a text as it is if it fits into one line of a message."""
    return text if text.isprintable() else repr(text)
