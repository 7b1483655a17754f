"""Every matching trace, counted and in any order, a page at a time.

All sources are evaluated; of each trace only its key and ID are kept. Traces that lie in several
sources are put together some at a time and let go again; those of the page are read once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tracestore.query.candidates import Matches
from tracestore.query.found import Found, Scope
from tracestore.query.fragments import Ids, Rows, Times, full_id
from tracestore.query.ordering import Cursor, Keys, Sort, sort_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some traces in order."""

    found: list[Found]
    keys: Keys
    """Of each."""
    has_more: bool
    """Whether there is a page behind."""
    total: int
    """Matching traces, on all pages."""
    wholes: Ids
    """Of these, those in several sources."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """Traces that match: of one source, or put together."""

    keys: Keys
    start_ns: Times
    ids: Ids
    matches: Matches | None
    rows: Rows


def take_page(scope: Scope, sort: Sort, *, limit: int, after: Cursor | None) -> Page:
    """Find the ``limit`` traces that follow a cursor, and count all.

    Cost: 40 B a matching trace; a sort of them.
    """
    listed = list(_list(scope, sort))
    keys = np.concatenate([np.empty(0, np.uint64), *(one.keys for one in listed)])
    start_ns = np.concatenate([np.empty(0, np.uint64), *(one.start_ns for one in listed)])
    ids = np.concatenate([np.empty(0, "S16"), *(one.ids for one in listed)])
    places = _first(keys, start_ns, ids, after, limit + 1)
    has_more, places = len(places) > limit, places[:limit]
    return Page(
        found=_find(scope, listed, places, ids),
        keys=keys[places],
        has_more=has_more,
        total=len(keys),
        wholes=np.concatenate([ids[:0], *(one.ids for one in listed if one.matches is None)]),
    )


def cursor_behind(
    after: Cursor | None, sort: Sort, key: int, shown: Sequence[bytes], now_ns: int
) -> Cursor:
    """Make the cursor behind a page.

    Args:
        key: of the last trace shown.
        shown: IDs in order.
        now_ns: when the page was asked for, if it is the first.
    """
    before = after or Cursor(sort=sort, key=0, trace_id=b"", asked_ns=now_ns)
    return before.following(key, shown)


def _first(keys: Keys, start_ns: Times, ids: Ids, after: Cursor | None, count: int) -> Rows:
    """Find the places of the first traces that follow a cursor, in order."""
    if after is None:
        places = np.arange(len(keys))
    else:
        places = np.flatnonzero(after.to_show(keys, ids, start_ns))
        count += len(after.seen)
    if len(places) > count:
        bound = np.partition(keys[places], count - 1)[count - 1]
        places = places[keys[places] <= bound]
    places = places[np.lexsort((ids[places], keys[places]))][:count]
    if after is None:
        return places
    new = after.without_shown([full_id(ids[place]) for place in places])
    return places[new][: count - len(after.seen)]


def _list(scope: Scope, sort: Sort) -> Iterator[_Listed]:
    """Yield all matching traces, each once."""
    of_sources = [matches for scan in scope.inside if (matches := scope.evaluate(scan)) is not None]
    split = scope.split_candidates()
    maybe = scope.may_be_split(of_sources)
    each = [matches.scan.traces.ids[matches.rows] for matches in of_sources]
    asked = [its_ids[mask] for its_ids, mask in zip(each, maybe, strict=True)]
    ids = np.unique(np.concatenate([np.empty(0, "S16"), *asked, split.ids]))
    counts, wholes = scope.join(ids)
    for matches, its_ids, mask in zip(of_sources, each, maybe, strict=True):
        single = ~mask
        single[mask] = counts[np.searchsorted(ids, its_ids[mask])] == 1
        single &= ~matches.outside
        rows = matches.rows[single]
        keys, start_ns = sort_keys(matches.scan, rows, sort), matches.scan.traces.start_ns[rows]
        yield _Listed(keys, start_ns, its_ids[single], matches, rows)
    for matches in wholes:
        rows = matches.rows[~matches.outside]
        traces = matches.scan.traces
        keys = sort_keys(matches.scan, rows, sort)
        yield _Listed(keys, traces.start_ns[rows], traces.ids[rows], None, rows)


def _find(scope: Scope, listed: list[_Listed], places: Rows, ids: Ids) -> list[Found]:
    """Get the traces in some places of the list; those in several sources are read again."""
    begins = np.cumsum([0, *(len(one.keys) for one in listed)])
    found: dict[int, Found] = {}
    again: dict[bytes, int] = {}
    for place in places.tolist():
        number = int(np.searchsorted(begins, place, side="right")) - 1
        matches = listed[number].matches
        if matches is None:
            again[full_id(ids[place])] = place
        else:
            found[place] = Found(matches, int(listed[number].rows[place - begins[number]]))
    if again:
        _, wholes = scope.join(np.array(sorted(again), "S16"))
        for whole in wholes:
            for row in whole.rows.tolist():
                found[again[whole.scan.traces.trace_id(row)]] = Found(whole, row)
    return [found[place] for place in places.tolist()]
