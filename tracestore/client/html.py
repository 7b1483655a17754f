"""Answers as HTML for notebooks; every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from tracestore.client.found import Found
from tracestore.client.trace import Trace
from tracestore.model.words import counted, duration_words, time_words

ROWS_MAX = 200
"""Rows that are shown; frames have them all."""
_INDENT_EM = 1.2
_INDENT_MAX = 40


def found_html(found: Found) -> str:
    """Show the traces of a search."""
    rows = [
        (
            f"<code>{escape(trace.trace_id)}</code>",
            time_words(trace.start_ns),
            escape(trace.root_service),
            escape(trace.root_name),
            duration_words(trace.duration_ns),
            f"{trace.matched} of {trace.span_count}",
            _errors(trace.error_count),
        )
        for trace in found.traces[:ROWS_MAX]
    ]
    header = ("trace", "start (UTC)", "service", "name", "duration", "matched spans", "errors")
    notes = [counted(len(found.traces), "trace")]
    if (total := found.total) is not None:
        notes.append(f"of {'' if total.exact else 'at least '}{total.traces}")
    if found.spans_left_out:
        notes.append(f"({counted(found.spans_left_out, 'matched span')} not shown)")
    return _table(header, rows, " ".join(notes), len(found.traces))


def trace_html(trace: Trace) -> str:
    """Show the tree of a trace."""
    tree = trace.tree()
    rows = []
    for row in tree[:ROWS_MAX]:
        span = row.span
        indent = _INDENT_EM * min(row.depth, _INDENT_MAX)
        status = escape(span.status_message or span.status) if span.is_error else ""
        rows.append(
            (
                f'<span style="padding-left:{indent:.1f}em">{escape(span.name)}</span>',
                escape(span.service),
                duration_words(span.start_ns - trace.start_ns),
                duration_words(span.duration_ns),
                f'<b style="color:#c00">{status}</b>' if status else escape(span.status),
            )
        )
    note = f"trace {trace.trace_id}, {counted(len(tree), 'span')}"
    if trace.message:
        note += f": {trace.message}"
    return _table(("span", "service", "offset", "duration", "status"), rows, note, len(tree))


def _errors(count: int) -> str:
    return f'<b style="color:#c00">{count}</b>' if count else ""


def _table(
    header: Sequence[str], rows: Iterable[Sequence[str]], caption: str, row_count: int
) -> str:
    """Put cells, which are HTML, together."""
    if row_count > ROWS_MAX:
        caption += f"; the first {ROWS_MAX} are shown"
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    left = 'style="text-align:left"'
    return (
        f"<table {left}><caption {left}>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )
