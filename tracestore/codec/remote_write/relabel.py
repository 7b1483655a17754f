"""Relabelling: Prometheus' rules on the labels of a series, done once for each series.

Source: Prometheus, ``model/relabel``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from tracestore.model.collection import Labels
from tracestore.settings.relabel import RelabelRule

Relabel: TypeAlias = Callable[[Labels], Labels | None]
"""Labels of a series -> those that are sent, sorted by name; None: it is not sent."""

_Step: TypeAlias = Callable[[dict[str, str]], bool]
"""Changes the labels; false: the series goes."""
_REFERENCE: Final = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})", re.ASCII)
_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def relabel_by(rules: Sequence[RelabelRule]) -> Relabel:
    """Make the function that applies rules in their order."""
    steps = [_step(rule) for rule in rules]

    def relabel(labels: Labels) -> Labels | None:
        found = dict(labels)
        for step in steps:
            if not step(found):
                return None
        kept = tuple(sorted((name, value) for name, value in found.items() if value))
        return kept or None

    return relabel


def _step(rule: RelabelRule) -> _Step:
    return _STEPS[rule.action](rule)


def _joined(rule: RelabelRule) -> Callable[[dict[str, str]], str]:
    names, separator = rule.source_labels, rule.separator
    return lambda labels: separator.join([labels.get(name, "") for name in names])


def _expand(template: str, match: re.Match[str]) -> str:
    """Put groups into a text as Go's ``Regexp.Expand`` does; an unknown one is empty."""

    def one(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        try:
            return match[int(name) if name.isdecimal() else name] or ""
        except IndexError:
            return ""

    return _REFERENCE.sub(one, template)


def _replace(rule: RelabelRule) -> _Step:
    source, pattern = _joined(rule), rule.pattern

    def step(labels: dict[str, str]) -> bool:
        match = pattern.fullmatch(source(labels))
        if match is not None:
            target = _expand(rule.target_label, match)
            if _LABEL_NAME.fullmatch(target):
                labels[target] = _expand(rule.replacement, match)
        return True

    return step


def _keep(rule: RelabelRule) -> _Step:
    source, pattern = _joined(rule), rule.pattern
    return lambda labels: pattern.fullmatch(source(labels)) is not None


def _drop(rule: RelabelRule) -> _Step:
    keep = _keep(rule)
    return lambda labels: not keep(labels)


def _keep_equal(rule: RelabelRule) -> _Step:
    source = _joined(rule)
    return lambda labels: labels.get(rule.target_label, "") == source(labels)


def _drop_equal(rule: RelabelRule) -> _Step:
    equal = _keep_equal(rule)
    return lambda labels: not equal(labels)


def _set(rule: RelabelRule, change: Callable[[str], str]) -> _Step:
    source = _joined(rule)

    def step(labels: dict[str, str]) -> bool:
        labels[rule.target_label] = change(source(labels))
        return True

    return step


def _hashmod(rule: RelabelRule) -> _Step:
    def remainder(value: str) -> str:
        digest = hashlib.md5(value.encode(), usedforsecurity=False).digest()
        return str(int.from_bytes(digest[8:], "big") % rule.modulus)

    return _set(rule, remainder)


def _labelmap(rule: RelabelRule) -> _Step:
    pattern = rule.pattern

    def step(labels: dict[str, str]) -> bool:
        for name, value in list(labels.items()):
            match = pattern.fullmatch(name)
            if match is not None and value:
                labels[_expand(rule.replacement, match)] = value
        return True

    return step


def _labels_where(rule: RelabelRule, kept: bool) -> _Step:
    pattern = rule.pattern

    def step(labels: dict[str, str]) -> bool:
        for name in list(labels):
            if (pattern.fullmatch(name) is not None) is not kept:
                del labels[name]
        return True

    return step


_STEPS: Final[dict[str, Callable[[RelabelRule], _Step]]] = {
    "replace": _replace,
    "keep": _keep,
    "drop": _drop,
    "keepequal": _keep_equal,
    "dropequal": _drop_equal,
    "hashmod": _hashmod,
    "lowercase": lambda rule: _set(rule, str.lower),
    "uppercase": lambda rule: _set(rule, str.upper),
    "labelmap": _labelmap,
    "labeldrop": lambda rule: _labels_where(rule, kept=False),
    "labelkeep": lambda rule: _labels_where(rule, kept=True),
}
