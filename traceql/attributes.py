"""What a query can name: attributes by scope, and the table of intrinsics.

Source: TraceQL reference, "attribute names", "intrinsics", "types".
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from traceql.values import ValueType


class Scope(enum.StrEnum):
    """Where an attribute lies; NONE means the span and, if it has no such key, the resource."""

    NONE = ""
    RESOURCE = "resource"
    SPAN = "span"
    EVENT = "event"
    LINK = "link"
    INSTRUMENTATION = "instrumentation"


class Level(enum.StrEnum):
    """What a field has one value of."""

    SPAN = "span"
    RESOURCE = "resource"
    INSTRUMENTATION = "instrumentation"
    EVENT = "event"
    LINK = "link"
    TRACE = "trace"
    PARENT = "parent"
    """A field of the parent span, or whether there is one."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A key of the data, as ``span.http.method`` or, of the parent span, ``parent.span.x``."""

    scope: Scope
    name: str
    of_parent: bool = False

    def __post_init__(self) -> None:
        allowed = {Scope.NONE, Scope.SPAN, Scope.RESOURCE}
        assert not self.of_parent or self.scope in allowed, self.scope

    @property
    def type(self) -> ValueType:
        """Always ATTRIBUTE: the type is known only at run time."""
        return ValueType.ATTRIBUTE

    @property
    def levels(self) -> frozenset[Level]:
        """Where it may be found."""
        if self.of_parent:
            return frozenset({Level.PARENT})
        if self.scope is Scope.NONE:
            return frozenset({Level.SPAN, Level.RESOURCE})
        return frozenset({Level(self.scope.value)})

    @property
    def text(self) -> str:
        """Canonical text, the name quoted unless it consists of words and dots."""
        prefix = f"{self.scope.value}."
        if self.of_parent:
            prefix = f"parent.{prefix}" if self.scope is not Scope.NONE else "parent."
        return prefix + _name_text(self.name)


class Intrinsic(enum.StrEnum):
    """A field of the span itself or of what it belongs to; the value is the canonical name."""

    NAME = "name"
    DURATION = "duration"
    STATUS = "status"
    STATUS_MESSAGE = "statusMessage"
    KIND = "kind"
    SPAN_ID = "span:id"
    PARENT_ID = "span:parentID"
    CHILD_COUNT = "span:childCount"
    NESTED_SET_LEFT = "nestedSetLeft"
    NESTED_SET_RIGHT = "nestedSetRight"
    NESTED_SET_PARENT = "nestedSetParent"
    TRACE_ID = "trace:id"
    TRACE_DURATION = "traceDuration"
    ROOT_NAME = "rootName"
    ROOT_SERVICE_NAME = "rootServiceName"
    EVENT_NAME = "event:name"
    EVENT_TIME_SINCE_START = "event:timeSinceStart"
    LINK_TRACE_ID = "link:traceID"
    LINK_SPAN_ID = "link:spanID"
    SCOPE_NAME = "instrumentation:name"
    SCOPE_VERSION = "instrumentation:version"
    PARENT = "parent"
    """The parent span itself: may only be compared with nil."""
    ANY = "any"
    """Extension: any string of the span, its resource, scope, events and links."""

    @property
    def type(self) -> ValueType:
        """Static type."""
        return _TYPES.get(self, ValueType.STRING)

    @property
    def levels(self) -> frozenset[Level]:
        """What it is a property of; of ``any``: every level it looks into."""
        return _LEVELS.get(self, _SPAN_LEVEL)

    @property
    def text(self) -> str:
        """Canonical text."""
        return self.value

    @property
    def is_id(self) -> bool:
        """Whether it is compared as an ID: hex, case and leading zeros irrelevant."""
        return self in _IDS


_TYPES = {
    Intrinsic.DURATION: ValueType.DURATION,
    Intrinsic.TRACE_DURATION: ValueType.DURATION,
    Intrinsic.EVENT_TIME_SINCE_START: ValueType.DURATION,
    Intrinsic.STATUS: ValueType.STATUS,
    Intrinsic.KIND: ValueType.KIND,
    Intrinsic.CHILD_COUNT: ValueType.INT,
    Intrinsic.NESTED_SET_LEFT: ValueType.INT,
    Intrinsic.NESTED_SET_RIGHT: ValueType.INT,
    Intrinsic.NESTED_SET_PARENT: ValueType.INT,
    Intrinsic.SCOPE_NAME: ValueType.ATTRIBUTE,
    Intrinsic.SCOPE_VERSION: ValueType.ATTRIBUTE,
    Intrinsic.PARENT: ValueType.NIL,
}
_IDS = frozenset(
    {
        Intrinsic.SPAN_ID,
        Intrinsic.PARENT_ID,
        Intrinsic.TRACE_ID,
        Intrinsic.LINK_TRACE_ID,
        Intrinsic.LINK_SPAN_ID,
    }
)
_SPAN_LEVEL = frozenset({Level.SPAN})
_TRACE_LEVEL = frozenset({Level.TRACE})
_LEVELS = {
    Intrinsic.TRACE_ID: _TRACE_LEVEL,
    Intrinsic.TRACE_DURATION: _TRACE_LEVEL,
    Intrinsic.ROOT_NAME: _TRACE_LEVEL,
    Intrinsic.ROOT_SERVICE_NAME: _TRACE_LEVEL,
    Intrinsic.EVENT_NAME: frozenset({Level.EVENT}),
    Intrinsic.EVENT_TIME_SINCE_START: frozenset({Level.EVENT}),
    Intrinsic.LINK_TRACE_ID: frozenset({Level.LINK}),
    Intrinsic.LINK_SPAN_ID: frozenset({Level.LINK}),
    Intrinsic.SCOPE_NAME: frozenset({Level.INSTRUMENTATION}),
    Intrinsic.SCOPE_VERSION: frozenset({Level.INSTRUMENTATION}),
    Intrinsic.PARENT: frozenset({Level.PARENT}),
    Intrinsic.ANY: frozenset(
        {Level.SPAN, Level.RESOURCE, Level.INSTRUMENTATION, Level.EVENT, Level.LINK}
    ),
}

Field = Attribute | Intrinsic
"""What a query can name; hashable."""

UNSCOPED_INTRINSICS: dict[str, Intrinsic] = {
    intrinsic.value: intrinsic for intrinsic in Intrinsic if ":" not in intrinsic.value
}
"""Words that name an intrinsic without a scope."""

SCOPED_INTRINSICS: dict[str, Intrinsic] = {
    **{intrinsic.value: intrinsic for intrinsic in Intrinsic if ":" in intrinsic.value},
    "span:name": Intrinsic.NAME,
    "span:duration": Intrinsic.DURATION,
    "span:status": Intrinsic.STATUS,
    "span:statusMessage": Intrinsic.STATUS_MESSAGE,
    "span:kind": Intrinsic.KIND,
    "trace:duration": Intrinsic.TRACE_DURATION,
    "trace:rootName": Intrinsic.ROOT_NAME,
    "trace:rootService": Intrinsic.ROOT_SERVICE_NAME,
}
"""Every spelling with a colon, equivalents included."""

SERVICE_NAME = Attribute(Scope.RESOURCE, "service.name")
"""Never nil: absent, it reads as the empty string."""

_PLAIN_NAME = re.compile(r"(?!(?:parent|resource|span|event|link|instrumentation)\.)[\w.]+")
_QUOTED = re.compile(r'(["\\])')
_DIGITS = frozenset("0123456789")


def _name_text(name: str) -> str:
    """Write the name so that it reads back as itself, quoted where a reader could stumble."""
    if _PLAIN_NAME.fullmatch(name) and name[0] not in _DIGITS:
        return name
    return '"' + _QUOTED.sub(r"\\\1", name) + '"'
