"""The query string of a request -> its parameters, as text.

Bytes that are no UTF-8 are refused: read as something else they would ask another question.
Source: wire contract, section 8.1; TraceQL reference, 1.1.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import Request

from tracestore.errors import InvalidRequestError


def parameters_of(request: Request) -> dict[str, str]:
    """Read the parameters; of one that is given twice the first counts, as in Tempo.

    Raises: InvalidRequestError.
    """
    raw = request.scope["query_string"].decode("latin-1")
    found: dict[str, str] = {}
    for name, value in parse_qsl(raw, keep_blank_values=True, errors="surrogateescape"):
        if not _is_text(name + value):
            shown = name.encode(errors="replace").decode()
            raise InvalidRequestError(f"invalid {shown}: not valid UTF-8")
        found.setdefault(name, value)
    return found


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
