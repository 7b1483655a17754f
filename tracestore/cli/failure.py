"""What went wrong, as one line for a person."""

from __future__ import annotations

from collections.abc import Iterator

from tracestore.errors import TracestoreError


def failures(error: BaseException) -> Iterator[BaseException]:
    """Take groups of exceptions apart."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from failures(one)
    else:
        yield error


def is_answer(error: BaseException) -> bool:
    """Tell whether an error is for the operator to mend, rather than a mistake of ours."""
    return all(isinstance(one, TracestoreError | OSError) for one in failures(error))


def describe(error: BaseException) -> str:
    """Say it in one line."""
    texts = dict.fromkeys(_describe_one(one) for one in failures(error))
    return " ".join("; ".join(texts).split())


def _describe_one(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f"{error.filename}: "
        return f"{where}{error.strerror}"
    return str(error) or type(error).__name__
