"""Who is told, while a query runs, what is known so far: streams show results as they grow.

An entry point of this package takes a ``Progress`` if it can be asked for partial answers. It asks
``is_due`` whenever a source is done, which is cheap, and only then makes the partial answer.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

T_contra = TypeVar("T_contra", contravariant=True)


class Progress(Protocol[T_contra]):
    """Takes partial answers. Called in the thread of the query."""

    def is_due(self) -> bool:
        """Tell whether somebody wants to see what is known by now."""

    def show(self, partial: T_contra) -> None:
        """Take what is known by now: final as far as it goes, in stats the true numbers."""
