"""Which keys are known, and what each of them means here: our own tree and the keys of Tempo.

A file, a variable and a flag are all resolved against this one tree of nodes, so each spelling
works in all three places. Nothing is read here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import TypeAlias

from tracestore.settings import override_keys, s3_keys, tempo_keys
from tracestore.settings.kinds import Parser
from tracestore.settings.leaves import leaves


@dataclass(frozen=True, slots=True)
class Section:
    """Keys below a key."""

    children: dict[str, Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """A key that sets a leaf of our tree."""

    path: str
    parse: Parser


@dataclass(frozen=True, slots=True)
class Ignored:
    """A key of Tempo that has no meaning here; anything may stand below it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A key of Tempo that must not be passed over in silence, unless its value says nothing."""

    reason: str


Node: TypeAlias = Section | Target | Ignored | Refused


@cache
def schema() -> Section:
    """Get the root of the known keys. Our own leaves win over a key of Tempo of the same name."""
    root = Section()
    ignored = (tempo_keys.IGNORED, override_keys.IGNORED, s3_keys.IGNORED)
    for reason, paths in chain.from_iterable(keys.items() for keys in ignored):
        for path in expand(paths):
            _put(root, path, Ignored(reason))
    for reason, paths in (tempo_keys.REFUSED | s3_keys.REFUSED).items():
        for path in expand(paths):
            _put(root, path, Refused(reason))
    for path, meaning in (tempo_keys.MEANT | s3_keys.MEANT | override_keys.meant()).items():
        if isinstance(meaning, str):
            _put(root, path, Target(meaning, leaves()[meaning].parse))
        else:
            _put(root, path, Target(*meaning))
    for path, leaf in leaves().items():
        _put(root, path, Target(path, leaf.parse))
    return root


def expand(texts: str) -> Iterator[str]:
    """Expand the groups in paths that are separated by blanks: ``a.{b,c.d}`` is two paths."""
    for text in texts.split():
        yield from _expand_one(text)


def _expand_one(text: str) -> Iterator[str]:
    start = text.find("{")
    if start < 0:
        yield text
        return
    depth = 0
    options: list[str] = []
    begin = start + 1
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0 or (depth == 1 and text[at] == ","):
            options.append(text[begin:at])
            begin = at + 1
        if depth == 0:
            break
    assert depth == 0, text
    for option in options:
        yield from _expand_one(text[:start] + option + text[begin:])


def find(path: Sequence[str]) -> Node | None:
    """Find what a path means; what stands below an ignored or refused key is the key itself."""
    node: Node = schema()
    for name in path:
        if not isinstance(node, Section):
            return node if isinstance(node, Ignored | Refused) else None
        child = node.children.get(name)
        if child is None:
            return None
        node = child
    return node


def nearest(path: Sequence[str]) -> str:
    """Name the known key that is most like an unknown one: a sibling, else any of the same name."""
    node: Node = schema()
    known: list[str] = []
    for name in path:
        if not isinstance(node, Section) or name not in node.children:
            break
        known.append(name)
        node = node.children[name]
    if not isinstance(node, Section):
        return ".".join(known)
    wrong = path[len(known)]
    siblings = difflib.get_close_matches(wrong, node.children, n=1, cutoff=0.7)
    if siblings:
        return ".".join([*known, siblings[0]])
    everywhere = [name for name, _ in iterate()]
    same_name = [p for p in everywhere if p.rpartition(".")[2] == path[-1]]
    like = difflib.get_close_matches(".".join(path), same_name or everywhere, n=1, cutoff=0.0)
    return like[0]


def iterate() -> Iterator[tuple[str, Node]]:
    """Go through all known paths, sections before what is below them."""
    return _iterate(schema(), "")


def _iterate(section: Section, prefix: str) -> Iterator[tuple[str, Node]]:
    for name, node in section.children.items():
        yield prefix + name, node
        if isinstance(node, Section):
            yield from _iterate(node, f"{prefix}{name}.")


def _put(root: Section, path: str, node: Node) -> None:
    *parents, name = path.split(".")
    section = root
    for parent in parents:
        child = section.children.setdefault(parent, Section())
        assert isinstance(child, Section), path
        section = child
    old = section.children.get(name)
    assert not isinstance(old, Section), f"{path} is a section"
    assert old is None or isinstance(node, Target), f"{path} is declared twice"
    section.children[name] = node
