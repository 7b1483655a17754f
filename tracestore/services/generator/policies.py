"""Filter policies: which spans a processor sees.

A condition is looked at once per text; spans get the verdict by number.

Source: wire contract, 17.3: any ``exclude`` that matches drops, then any ``include_any`` keeps,
then every ``include`` must match.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from tracestore.model.span_metrics import KIND_NAMES, STATUS_NAMES
from tracestore.model.tables import AttributeType
from tracestore.services.generator.reading import SpanBatch, text_of
from tracestore.services.generator.vocabulary import ABSENT, Numbers, Vocabulary
from tracestore.settings.generator_tree import FilterPolicy, PolicyAttribute, PolicyMatch

Mask = npt.NDArray[np.bool_]

_RESOURCE, _SPAN = "resource.", "span."


class _Condition:
    """One attribute of a policy, with a verdict per text."""

    def __init__(self, attribute: PolicyAttribute, *, is_regex: bool) -> None:
        self._key = attribute.key
        self._value = _as_text(attribute.value)
        self._is_regex = is_regex
        self._verdicts = np.empty(0, np.bool_)

    def forget(self) -> None:
        self._verdicts = np.empty(0, np.bool_)

    def matches(self, batch: SpanBatch) -> Mask:
        if self._key == "kind":
            return _spread(self._of_names(KIND_NAMES), batch.field("kind"))
        if self._key == "status":
            return _spread(self._of_names(STATUS_NAMES), batch.field("status_code"))
        numbers = self._numbers(batch)
        verdicts = self._of_texts(batch.vocabulary)
        matching: Mask = (numbers != ABSENT) & verdicts[numbers]
        return matching

    def _numbers(self, batch: SpanBatch) -> Numbers:
        if self._key == "name":
            return batch.text("name")
        if self._key.startswith(_RESOURCE):
            return batch.resource_attribute(self._key.removeprefix(_RESOURCE))
        return batch.span_attribute(self._key.removeprefix(_SPAN))

    def _of_texts(self, vocabulary: Vocabulary) -> Mask:
        known = len(self._verdicts)
        if known < len(vocabulary):
            self._verdicts = np.concatenate([self._verdicts, self._judge(vocabulary.texts(known))])
        return self._verdicts

    def _of_names(self, names: Sequence[str]) -> Mask:
        return np.append(self._judge(np.array(names, object)), False)

    def _judge(self, texts: object) -> Mask:
        if self._is_regex:
            found = pc.match_substring_regex(texts, self._value)
        else:
            found = pc.equal(texts, self._value)
        judged: Mask = np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)
        return judged


class _Match:
    def __init__(self, match: PolicyMatch) -> None:
        is_regex = match.match_type == "regex"
        self.conditions = [_Condition(one, is_regex=is_regex) for one in match.attributes]

    def mask(self, batch: SpanBatch) -> Mask:
        found = np.ones(len(batch), np.bool_)
        for condition in self.conditions:
            found &= condition.matches(batch)
        return found


class Policies:
    """All policies of a processor."""

    def __init__(self, policies: Sequence[FilterPolicy]) -> None:
        self._excludes = [_Match(one.exclude) for one in policies if one.exclude]
        self._anys = [_Match(one.include_any) for one in policies if one.include_any]
        self._includes = [_Match(one.include) for one in policies if one.include]

    def forget(self) -> None:
        """Forget what numbers of texts meant."""
        for match in (*self._excludes, *self._anys, *self._includes):
            for condition in match.conditions:
                condition.forget()

    def kept(self, batch: SpanBatch) -> Mask | None:
        """Tell which spans the processor sees; None: all."""
        if not (self._excludes or self._anys or self._includes):
            return None
        kept = np.full(len(batch), not self._anys or bool(self._includes))
        for match in self._includes:
            kept &= match.mask(batch)
        for match in self._anys:
            kept |= match.mask(batch)
        for match in self._excludes:
            kept &= ~match.mask(batch)
        return kept


def _as_text(value: str | int | float | bool) -> str:
    if isinstance(value, str):
        return value
    kinds = {bool: AttributeType.BOOL, int: AttributeType.INT, float: AttributeType.FLOAT}
    return text_of(kinds[type(value)], value)


def _spread(verdicts: Mask, codes: npt.NDArray[np.int32]) -> Mask:
    """Get the verdict of each code; the last one is that of codes without a name."""
    nameless = len(verdicts) - 1
    found: Mask = verdicts[np.where((codes >= 0) & (codes < nameless), codes, nameless)]
    return found
