"""Rules that rewrite or drop series, with the keys of Prometheus' ``relabel_config``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tracestore.errors import SettingsError
from tracestore.settings.mappings import Entry

ACTIONS: Final = (
    "replace",
    "keep",
    "drop",
    "hashmod",
    "labelmap",
    "labeldrop",
    "labelkeep",
    "lowercase",
    "uppercase",
    "keepequal",
    "dropequal",
)
_NEEDS_TARGET: Final = frozenset(
    {"replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal"}
)
_ONLY_REGEX: Final = frozenset({"labeldrop", "labelkeep"})
_ANYTHING: Final = "(.*)"
_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_TARGET: Final = re.compile(r"(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelabelRule:
    """One rule; a series goes through all of them in order."""

    action: str = "replace"
    """One of ``ACTIONS``."""
    source_labels: tuple[str, ...] = ()
    """Labels whose values, joined, the expression is held against."""
    separator: str = ";"
    """Stands between those values."""
    regex: str = _ANYTHING
    """Must match the whole text; RE2's syntax as far as Python has it."""
    target_label: str = ""
    """Label that is set or compared; ``${1}`` in it is a group of the expression."""
    replacement: str = "$1"
    """What it is set to, or, for ``labelmap``, the new name."""
    modulus: int = 0
    """For ``hashmod``: the remainders are below it."""

    @property
    def pattern(self) -> re.Pattern[str]:
        """The expression, to be used with ``fullmatch``; ``.`` matches line ends, as Prometheus
        has it."""
        return re.compile(self.regex, re.DOTALL | re.ASCII)


def parse_relabel_rule(config: object, where: str) -> RelabelRule:
    """Read a rule. Raises: SettingsError."""
    entry = Entry.of(config, where)
    given = set(entry.config)
    rule = RelabelRule(
        action=entry.text("action", "replace").lower(),
        source_labels=entry.texts("source_labels"),
        separator=entry.text("separator", ";"),
        regex=entry.text("regex", _ANYTHING),
        target_label=entry.text("target_label"),
        replacement=entry.text("replacement", "$1"),
        modulus=entry.integer("modulus", 0, least=0),
    )
    entry.finish()
    _check(rule, given, where)
    return rule


def _check(rule: RelabelRule, given: set[str], where: str) -> None:
    action = rule.action
    if action not in ACTIONS:
        raise SettingsError(f"{where}: unknown action {action!r}, not one of {', '.join(ACTIONS)}")
    try:
        re.compile(rule.regex)
    except re.error as error:
        raise SettingsError(
            f"{where}: regex {rule.regex!r} is no regular expression: {error}"
        ) from (error)
    for label in rule.source_labels:
        if not _LABEL_NAME.fullmatch(label):
            raise SettingsError(f"{where}: {label!r} in source_labels is no name of a label")
    if action in _NEEDS_TARGET:
        if not rule.target_label:
            raise SettingsError(f"{where}: action {action} needs target_label")
        name = _TARGET if action == "replace" else _LABEL_NAME
        if not name.fullmatch(rule.target_label):
            raise SettingsError(f"{where}: {rule.target_label!r} is no name of a label")
    if action == "hashmod" and rule.modulus == 0:
        raise SettingsError(f"{where}: action hashmod needs a modulus above 0")
    _check_superfluous(action, given, where)


def _check_superfluous(action: str, given: set[str], where: str) -> None:
    """Refuse what Prometheus refuses: keys that the action would not look at."""
    extra: set[str] = set()
    if action in _ONLY_REGEX:
        extra = given - {"action", "regex"}
    elif action in ("keepequal", "dropequal"):
        extra = given - {"action", "source_labels", "target_label"}
    if extra:
        names = ", ".join(sorted(extra))
        raise SettingsError(f"{where}: action {action} takes no {names}")


def rule_as_mapping(rule: RelabelRule) -> Mapping[str, object]:
    """Write a rule with what is not the default, for a page of settings."""
    default = RelabelRule()
    shown: dict[str, object] = {"action": rule.action}
    for name in ("source_labels", "separator", "regex", "target_label", "replacement", "modulus"):
        value = getattr(rule, name)
        if value != getattr(default, name):
            shown[name] = list(value) if isinstance(value, tuple) else value
    return shown
