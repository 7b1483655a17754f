"""A trace as lines for a terminal: what is known of the whole, then a line per span of the tree.

Nothing that was sent by strangers reaches the terminal as it is: control characters are escaped.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tracestore.codec.trace_tree import TraceSpan, TreeRow, arrange
from tracestore.model.words import counted, duration_words, printable, time_words

TITLES = ("OFFSET", "DURATION", "SERVICE", "SPAN")
RIGHT = (True, True, False, False)
"""Numbers stand right."""
DEPTH_MAX = 32
"""Levels that are drawn; a span further down says how deep it is."""
LINES = ("│ ", "  ", "├─ ", "└─ ")
"""What goes past a span, nothing, a span, the last span of its parent."""
_GAP = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanLine:
    """A line of the tree."""

    offset: str
    duration: str
    service: str
    text: str
    """Branch, name, and what is wrong."""
    is_error: bool

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The texts under ``TITLES``."""
        return self.offset, self.duration, self.service, self.text


def render_trace_text(trace_id: str, spans: Sequence[TraceSpan], message: str = "") -> str:
    """Write a trace, plain and whole.

    Args:
        spans: one or more.
        message: why it is not the whole trace; empty if it is.
    """
    lines = [overview(trace_id, spans) + errors_words(spans)]
    if message:
        lines.append(f"not the whole trace: {message}")
    rows = [TITLES, *(line.cells for line in span_lines(spans, arrange(spans)))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, RIGHT, strict=True)
        padded = (c.rjust(width) if right else c.ljust(width) for c, width, right in cells)
        lines.append(_GAP.join(padded).rstrip())
    return "".join(f"{line}\n" for line in lines)


def overview(trace_id: str, spans: Sequence[TraceSpan]) -> str:
    """Write what is known of the whole trace but its errors, and a gap."""
    start_ns = min(span.start_ns for span in spans)
    duration_ns = max(span.end_ns for span in spans) - start_ns
    services = {span.service for span in spans}
    return (
        f"trace {trace_id}  {time_words(start_ns)} UTC  {duration_words(duration_ns)}"
        f"  {counted(len(spans), 'span')}  {counted(len(services), 'service')}  "
    )


def errors_words(spans: Sequence[TraceSpan]) -> str:
    """Count the spans that failed."""
    return counted(sum(span.is_error for span in spans), "error")


def span_lines(
    spans: Sequence[TraceSpan], rows: Sequence[TreeRow], lines: Sequence[str] = LINES
) -> Iterator[SpanLine]:
    """Write the rows of a tree; of a span whose parent is not there it is said.

    Args:
        lines: as ``LINES``.
    """
    start_ns = min(span.start_ns for span in spans)
    known = {span.span_id for span in spans}
    for row, branch in zip(rows, branches(rows, lines), strict=True):
        yield SpanLine(
            offset=duration_words(row.span.start_ns - start_ns),
            duration=duration_words(row.span.duration_ns),
            service=printable(row.span.service),
            text=branch + _span_words(row.span, known),
            is_error=row.span.is_error,
        )


def _span_words(span: TraceSpan, known: set[str]) -> str:
    text = printable(span.name)
    if span.parent_id and span.parent_id not in known:
        text += f"  (parent {span.parent_id} is not there)"
    if not span.is_error:
        return text
    message = f": {printable(span.status_message)}" if span.status_message else ""
    return f"{text}  ERROR{message}"


def branches(rows: Sequence[TreeRow], lines: Sequence[str]) -> Iterator[str]:
    """Draw what stands before each span.

    Args:
        lines: as ``LINES``.
    """
    past, nothing, middle, last = lines
    open_levels: list[bool] = []
    """Whether a sibling follows, per level of the ancestors."""
    for row in rows:
        del open_levels[row.depth :]
        open_levels.append(not row.is_last)
        if row.depth == 0:
            yield ""
            continue
        above = open_levels[1 : row.depth][:DEPTH_MAX]
        drawn = "".join(past if goes_on else nothing for goes_on in above)
        deep = f"({row.depth} deep) " if row.depth > DEPTH_MAX else ""
        yield f"{drawn}{last if row.is_last else middle}{deep}"
