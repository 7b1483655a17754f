"""Which spans a processor sees: the filter policies of its settings, as masks.

A policy is a condition on texts, as the metrics would write them, so that each is evaluated once
per text of a chunk. Patterns may match anywhere in a value.

Source: wire contract, section 17.3 (``filter_policies``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.errors import InvalidRequestError
from tracestore.model.span_metrics import KIND_NAMES, STATUS_NAMES, value_text
from tracestore.query.bind import Binder
from tracestore.query.label_texts import Codes, LabelTexts, TextNumbers
from tracestore.query.masks import BoolArray, Mask, mask_and
from tracestore.query.matching import any_of_texts, pattern_matcher
from tracestore.query.predicates import TextMatcher
from tracestore.query.scan import ChunkScan
from tracestore.settings.generator_tree import FilterPolicy, PolicyAttribute, PolicyMatch

_Condition = Callable[[ChunkScan], BoolArray]


class SpanPolicies:
    """The policies of a processor, bound to one source."""

    def __init__(self, binder: Binder, policies: Sequence[FilterPolicy]) -> None:
        """Take the policies. Raises: InvalidRequestError for a pattern that is none."""
        self._texts = LabelTexts(binder, TextNumbers()) if policies else None
        self._excluded = self._bind([one.exclude for one in policies])
        self._any = self._bind([one.include_any for one in policies])
        self._every = self._bind([one.include for one in policies])

    def allowed(self, scan: ChunkScan, marked: Mask) -> Mask:
        """Leave out spans that the processor does not see.

        An exclusion goes before all, then one that includes any; else all that include must match.
        """
        if self._texts is None or marked is False:
            return marked
        kept: BoolArray = np.full(scan.chunk.spans, bool(self._every) or not self._any)
        for every in self._every:
            kept &= every(scan)
        for some in self._any:
            kept |= some(scan)
        for excluded in self._excluded:
            kept &= ~excluded(scan)
        return mask_and(marked, kept)

    def _bind(self, matches: Sequence[PolicyMatch | None]) -> list[_Condition]:
        return [self._condition(one) for one in matches if one is not None]

    def _condition(self, match: PolicyMatch) -> _Condition:
        """Bind conditions that must all hold."""
        bound = [
            (attribute.key, _matcher(match.match_type, attribute)) for attribute in match.attributes
        ]

        def holds(scan: ChunkScan) -> BoolArray:
            kept: BoolArray = np.ones(scan.chunk.spans, np.bool_)
            for key, matcher in bound:
                kept &= self._matched(self._codes(scan, key), matcher)
            return kept

        return holds

    def _codes(self, scan: ChunkScan, key: str) -> Codes:
        assert self._texts is not None
        scope, _, name = key.partition(".")
        match scope:
            case "resource":
                return self._texts.of_resource(scan, name)
            case "span":
                return self._texts.of_span(scan, name)
            case "kind":
                return self._texts.of_number(scan, "kind", KIND_NAMES)
            case "status":
                return self._texts.of_number(scan, "status_code", STATUS_NAMES)
        return self._texts.of_column(scan, "name")

    def _matched(self, codes: Codes, matcher: TextMatcher) -> BoolArray:
        assert self._texts is not None
        known: npt.NDArray[np.bool_] = matcher(pa.array(self._texts.texts.texts, pa.string()))
        known = known.copy()
        known[0] = False  # what a span has not matches nothing
        return known.take(codes)


def _matcher(match_type: str, attribute: PolicyAttribute) -> TextMatcher:
    text = value_text(attribute.value)
    if match_type != "regex":
        return any_of_texts([text])
    try:
        return pattern_matcher(f".*(?:{text}).*")
    except ValueError as error:
        raise InvalidRequestError(
            f"filter policy of {attribute.key}: pattern {text!r}: {error}"
        ) from error
