"""A matcher against one value; patterns are RE2's and match the whole value."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from tracestore.errors import InvalidRequestError
from tracestore.query.span_series import Matcher, MatchOperator


def matches(matcher: Matcher, value: str) -> bool:
    """Tell whether a value, empty if there is none, matches. Raises: InvalidRequestError."""
    if matcher.op.is_regex:
        try:
            found = pc.match_substring_regex(
                pa.array([value], pa.string()), pattern=f"^(?s:{matcher.value})$"
            )[0].as_py()
        except pa.ArrowInvalid as error:
            raise InvalidRequestError(
                f"parse error: invalid regular expression {matcher.value!r}: {error}"
            ) from error
        return bool(found) != (matcher.op is MatchOperator.NOT_MATCH)
    return (value == matcher.value) != (matcher.op is MatchOperator.NOT_EQUAL)
