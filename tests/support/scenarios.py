"""Scenarios of the public API: YAML that says what is asked and what must come back.

A file is a mapping: ``about``; ``server``, flags of the server it needs (none: any server will do);
and ``scenarios``, which run in the order of the file. A scenario has a ``name``; one of ``get``,
``post``, ``put``, ``patch``, ``delete``, ``head`` with a path, or ``grpc`` with a method of
``tempopb.StreamingQuerier``; then ``query``, ``headers``, ``body`` (HTTP), ``request``,
``metadata`` (gRPC), and ``expect``. ``at`` names a receiver whose port is asked instead of the
API's: ``otlp``, ``zipkin``, ``jaeger``. A ``body`` that is no text is sent as JSON, ``{base64: …}``
as bytes. In any text ``{t0}`` is the second at which the data begins, ``{t0-60}`` a minute before,
``{t0_ns}`` nanoseconds, ``{now}`` the second of now.

What is expected of JSON is a part of it: keys that are not named may be anything. ``!absent`` is a
key that must not be there, ``!any`` any value, ``!regex`` a text of that form, ``!exactly`` a
mapping with these keys and no other, ``!has`` a list with at least these items, in any order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

METHODS = ("get", "post", "put", "patch", "delete", "head")
_PLACE = re.compile(r"\{(t0|t0_ns|now)([+-][0-9]+)?\}")


class _Special:
    """A value that is not compared by equality."""

    def __init__(self, content: Any = None) -> None:
        self.content = content


class Absent(_Special):
    pass


class Anything(_Special):
    pass


class Regex(_Special):
    pass


class Exactly(_Special):
    pass


class Has(_Special):
    pass


class _Loader(yaml.SafeLoader):
    pass


def _special(kind: type[_Special]) -> Any:
    def construct(loader: _Loader, node: yaml.Node) -> _Special:
        if isinstance(node, yaml.MappingNode):
            return kind(loader.construct_mapping(node, deep=True))
        if isinstance(node, yaml.SequenceNode):
            return kind(loader.construct_sequence(node, deep=True))
        assert isinstance(node, yaml.ScalarNode)
        return kind(loader.construct_scalar(node))

    return construct


for _tag, _kind in {
    "!absent": Absent,
    "!any": Anything,
    "!regex": Regex,
    "!exactly": Exactly,
    "!has": Has,
}.items():
    _Loader.add_constructor(_tag, _special(_kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One request and what must come back."""

    file: str
    flags: tuple[str, ...]
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{Path(self.file).stem}: {self.content['name']}"


def read_scenarios(path: Path) -> list[Scenario]:
    """Read a file. A key that means nothing is an error, so that no expectation is lost."""
    whole = yaml.load(path.read_text(), _Loader)
    assert whole.keys() <= {"about", "server", "scenarios"}, path
    flags = tuple(whole.get("server", ()))
    for content in whole["scenarios"]:
        known = {"name", *METHODS, "grpc", "query", "headers", "body", "request", "metadata", "at"}
        assert content.keys() <= known | {"expect", "only"}, (path, content)
        assert sum(key in content for key in (*METHODS, "grpc")) == 1, (path, content)
    return [Scenario(file=path.name, flags=flags, content=c) for c in whole["scenarios"]]


def fill(node: Any, *, t0_s: int, now_s: int) -> Any:
    """Put times into the texts of a scenario."""
    match node:
        case str():
            bases = {"t0": t0_s, "t0_ns": t0_s * 10**9, "now": now_s}
            return _PLACE.sub(lambda found: str(bases[found[1]] + int(found[2] or 0)), node)
        case Mapping():
            return {
                fill(key, t0_s=t0_s, now_s=now_s): fill(value, t0_s=t0_s, now_s=now_s)
                for key, value in node.items()
            }
        case list():
            return [fill(item, t0_s=t0_s, now_s=now_s) for item in node]
        case _Special():
            return type(node)(fill(node.content, t0_s=t0_s, now_s=now_s))
    return node


def mismatch(expected: Any, found: Any, at: str = "$") -> str | None:
    """Say where an answer is not what was expected; None if it is."""
    match expected:
        case Anything():
            return None
        case Regex():
            matches = isinstance(found, str) and re.fullmatch(expected.content, found, re.DOTALL)
            return None if matches else f"{at}: {found!r} is not like {expected.content}"
        case Exactly():
            if not isinstance(found, Mapping) or found.keys() != expected.content.keys():
                return f"{at}: {found!r} does not have just the keys {list(expected.content)}"
            return mismatch(expected.content, found, at)
        case Has():
            return _lacks(expected.content, found, at)
        case Mapping():
            return _differs(expected, found, at)
        case list():
            if not isinstance(found, list) or len(found) != len(expected):
                return f"{at}: {found!r} is no list of {len(expected)}"
            pairs = enumerate(zip(expected, found, strict=True))
            return next(filter(None, (mismatch(e, f, f"{at}[{i}]") for i, (e, f) in pairs)), None)
    is_same = expected == found and isinstance(expected, bool) == isinstance(found, bool)
    return None if is_same else f"{at}: expected {expected!r}, found {found!r}"


def _differs(expected: Mapping[str, Any], found: Any, at: str) -> str | None:
    if not isinstance(found, Mapping):
        return f"{at}: {found!r} is no object"
    for key, value in expected.items():
        if isinstance(value, Absent):
            if key in found:
                return f"{at}.{key}: should be absent, is {found[key]!r}"
        elif key not in found:
            return f"{at}.{key}: absent, expected {value!r}"
        elif problem := mismatch(value, found[key], f"{at}.{key}"):
            return problem
    return None


def _lacks(items: list[Any], found: Any, at: str) -> str | None:
    if not isinstance(found, list):
        return f"{at}: {found!r} is no list"
    for item in items:
        if all(mismatch(item, other, at) for other in found):
            return f"{at}: {found!r} lacks {item!r}"
    return None
