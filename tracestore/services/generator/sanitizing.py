"""Names of spans without what looks like an ID, so that they are few enough for a label."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.services.generator.vocabulary import ABSENT, Numbers, Vocabulary

PLACEHOLDER: Final = "<_>"
_HEX = "[0-9a-fA-F]"
_PATTERNS: Final = (
    rf"\b{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}\b",
    rf"\b(?:0[xX]{_HEX}+|{_HEX}{{12,}})\b",
    r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?\b",
)
_NUMBER: Final = r"(^|[/ _:=#,(\[-])\d+\b"


def sanitize(names: pa.StringArray) -> pa.StringArray:
    """Put a placeholder in place of UUIDs, hexadecimal IDs, dates and numbers that stand alone."""
    for pattern in _PATTERNS:
        names = pc.replace_substring_regex(names, pattern, PLACEHOLDER)
    return pc.replace_substring_regex(names, _NUMBER, rf"\1{PLACEHOLDER}")


class SpanNames:
    """Names of spans, sanitized once each."""

    def __init__(self) -> None:
        self._sanitized = np.empty(0, np.int32)

    def of(self, vocabulary: Vocabulary, numbers: Numbers) -> Numbers:
        """Get the numbers of the sanitized names: (n,)."""
        missing = len(vocabulary) - len(self._sanitized)
        if missing > 0:
            new = np.full(missing, ABSENT, np.int32)
            self._sanitized = np.concatenate([self._sanitized, new])
        unknown = np.unique(numbers[self._sanitized[numbers] == ABSENT])
        if len(unknown):
            self._sanitized[unknown] = vocabulary.numbers(sanitize(vocabulary.take(unknown)))
        return self._sanitized[numbers]

    def counts(self) -> tuple[int, int]:
        """Count the distinct names so far: as sent, and sanitized."""
        known = self._sanitized[self._sanitized != ABSENT]
        return len(known), len(np.unique(known))
