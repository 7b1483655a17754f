"""``label_replace`` and ``label_join``: labels made of labels.

Patterns are RE2's, by Arrow: no pattern can hang it. Source: Prometheus, "Functions".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tracestore.errors import InvalidRequestError
from tracestore.query.promql.values import EvaluationError, Vector, united
from tracestore.query.span_series import LabelSet

_GROUPS_MAX = 9
"""RE2 takes references to so many."""
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_REFERENCE = re.compile(r"\$(?:\$|([0-9]+)|\{([0-9]+)\}|([A-Za-z_]\w*)|\{([^}]*)\})|\\")


def label_replace(
    vector: Vector, target: str, replacement: str, source: str, pattern: str
) -> Vector:
    """Set a label where another one matches wholly. Raises: EvaluationError."""
    _check_label("label_replace", target)
    values = pa.array([dict(labels).get(source, "") for labels in vector.labels], pa.string())
    # a reference to a group that the pattern lacks is empty: so it has enough of empty ones
    anchored = f"^(?s:{pattern})$" + "()" * _GROUPS_MAX
    try:
        matches = pc.match_substring_regex(values, pattern=anchored).to_pylist()
        written = pc.replace_substring_regex(
            values, pattern=anchored, replacement=_rewrite(replacement)
        ).to_pylist()
    except pa.ArrowInvalid as error:
        raise EvaluationError(
            f"invalid regular expression in label_replace(): {pattern}: {error}"
        ) from error
    labels = [
        _with(one, target, text) if is_match else one
        for one, is_match, text in zip(vector.labels, matches, written, strict=True)
    ]
    return united(labels, vector.values, vector.present)


def label_join(vector: Vector, target: str, separator: str, sources: Sequence[str]) -> Vector:
    """Set a label to others put together. Raises: EvaluationError."""
    for name in (target, *sources):
        _check_label("label_join", name)
    labels = []
    for one in vector.labels:
        values = dict(one)
        text = separator.join(values.get(name, "") for name in sources)
        labels.append(_with(one, target, text))
    return united(labels, vector.values, vector.present)


def _check_label(function: str, name: str) -> None:
    if not _LABEL.fullmatch(name):
        raise EvaluationError(f"invalid destination label name in {function}(): {name}")


def _with(labels: LabelSet, name: str, value: str) -> LabelSet:
    changed = {key: text for key, text in labels if key != name}
    if value:
        changed[name] = value
    return tuple(sorted(changed.items()))


def _rewrite(replacement: str) -> str:
    r"""Write ``$1`` and ``${1}`` as ``\1``, as RE2 wants it."""

    def one(found: re.Match[str]) -> str:
        if found[0] == "\\":
            return "\\\\"
        if found[0] == "$$":
            return "$"
        group = found[1] or found[2]
        if group is None or int(group) > _GROUPS_MAX:
            raise InvalidRequestError(
                "not supported by tracestore: in label_replace() references other than $0 to $9, "
                f"got {found[0]}"
            )
        return f"\\{int(group)}"

    return _REFERENCE.sub(one, replacement)
