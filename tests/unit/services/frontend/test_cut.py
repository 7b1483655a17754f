"""Cutting a snapshot into what jobs answer for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import SINGLE_TENANT, BlockId
from tracestore.services.frontend.cut import cut
from tracestore.services.placement import rank_names
from tracestore.settings.frontend_tree import FrontendSettings

QUERIERS = ["querier-1", "querier-2", "querier-3"]
SETTINGS = FrontendSettings(job_bytes=100, jobs_max=8)


def meta(number: int, size: int) -> BlockMeta:
    return BlockMeta(
        id=BlockId(f"block-{number}"),
        tenant=SINGLE_TENANT,
        created_ns=0,
        start_ns=number,
        end_ns=number + 10,
        spans=1,
        traces=1,
        events=0,
        links=0,
        resources=1,
        scopes=1,
        object_bytes={"spans.parquet": size},
    )


@pytest.mark.parametrize(("sizes", "queriers"), [([50, 50], QUERIERS), ([500, 500], []), ([], [])])
def test_what_is_small_or_for_nobody_is_not_cut(sizes: list[int], queriers: list[str]) -> None:
    metas = [meta(number, size) for number, size in enumerate(sizes)]

    assert cut([], metas, queriers, SETTINGS) == []


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40))
@settings(max_examples=50)
def test_every_source_is_primary_once_at_its_own_querier_newest_first(sizes: list[int]) -> None:
    metas = [meta(number, size) for number, size in enumerate(sizes)]
    by_id = {str(one.id): one for one in metas}

    pieces = cut([], metas, QUERIERS, SETTINGS)

    assert bool(pieces) == (sum(sizes) > SETTINGS.job_bytes)
    if not pieces:
        return
    assert sorted(id for piece in pieces for id in piece.primary) == sorted(by_id)
    bound = max(SETTINGS.job_bytes, -(-sum(sizes) // SETTINGS.jobs_max))
    for piece in pieces:
        homes = {rank_names(id, QUERIERS)[0] for id in piece.primary}
        assert homes == {rank_names(piece.key, QUERIERS)[0]}
        assert piece.end_ns == max(by_id[id].end_ns for id in piece.primary)
        size = sum(by_id[id].stored_bytes for id in piece.primary)
        assert size <= bound or len(piece.primary) == 1
    assert [piece.end_ns for piece in pieces] == sorted((p.end_ns for p in pieces), reverse=True)


def test_jobs_are_bounded_by_number() -> None:
    metas = [meta(number, 90) for number in range(400)]

    pieces = cut([], metas, QUERIERS, replace(SETTINGS, jobs_max=4))

    assert len(pieces) <= 4 + 2 * len(QUERIERS)
