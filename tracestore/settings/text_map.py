"""A mapping of texts as a value of settings: frozen, hashable, in the order of its writing.

A tuple of pairs and not a dict, so that settings stay values that compare and cannot be changed.
"""

from __future__ import annotations


class TextMap(tuple[tuple[str, str], ...]):
    """Pairs of key and value; no key twice."""

    __slots__ = ()


NO_TEXTS = TextMap()
