"""Autocomplete: names and values of tags. Source: wire contract, section 9."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from fastapi import Request

from tracestore.api.app import Answer, Routes, accepts_gzip, packed
from tracestore.api.negotiate import Encoding, negotiate
from tracestore.api.tag_answers import names_wanted, values_wanted
from tracestore.api.tag_params import (
    NAMES_V1,
    NAMES_V2,
    TAG_NAME,
    VALUES_V1,
    VALUES_V2,
    NamesParams,
    ValuesParams,
    parse_names,
    parse_values,
)
from tracestore.api.tenant import OrgId, Tenancy
from tracestore.api.watch import while_connected
from tracestore.codec import tags_json
from tracestore.model.tags import TagNames, TagValues
from tracestore.model.times import SECOND_NS
from tracestore.query.jobs.operation import Operation
from tracestore.services.querier.runner import Asking, QueryRunner

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRoutes:
    """The handlers."""

    runner: QueryRunner
    tenancy: Tenancy

    def add_to(self, routes: Routes, prefix: str) -> None:
        """Serve the routes of both versions."""
        routes.add(prefix + NAMES_V1, partial(self.get_names, is_legacy=True))
        routes.add(prefix + NAMES_V2, partial(self.get_names, is_legacy=False))
        routes.add(prefix + VALUES_V1, partial(self.get_values, is_legacy=True))
        routes.add(prefix + VALUES_V2, partial(self.get_values, is_legacy=False))

    async def get_names(self, request: Request, *, is_legacy: bool) -> Answer:
        """Answer with the names that occur."""
        org, encoding = self.tenancy.org_of(request), _encoding(request)
        settings = self.runner.settings_for(org.named)
        params = parse_names(request.query_params, settings, now_s=self._now_s, is_legacy=is_legacy)

        def render(found: TagNames) -> bytes:
            return render_names(found, params, encoding)

        sent = _Sent(render=render, encoding=encoding, gzipped=accepts_gzip(request))
        return await self._run(request, org, names_wanted(params, settings), sent)

    async def get_values(self, request: Request, *, is_legacy: bool) -> Answer:
        """Answer with the values of a tag."""
        org, encoding = self.tenancy.org_of(request), _encoding(request, has_llm=not is_legacy)
        settings = self.runner.settings_for(org.named)
        params = parse_values(
            request.query_params,
            request.path_params[TAG_NAME],
            settings,
            now_s=self._now_s,
            is_legacy=is_legacy,
        )

        def render(found: TagValues) -> bytes:
            return render_values(found, params, encoding)

        sent = _Sent(render=render, encoding=encoding, gzipped=accepts_gzip(request))
        return await self._run(request, org, values_wanted(params, settings), sent)

    @property
    def _now_s(self) -> int:
        return self.runner.clock.now_ns() // SECOND_NS

    async def _run(
        self, request: Request, org: OrgId, operation: Operation[R], sent: _Sent[R]
    ) -> Answer:
        tenants = org.for_reading()
        return await while_connected(
            request,
            lambda cancelled: self.runner.run(
                Asking(tenants=tenants, cancelled=cancelled), operation, sent.answer
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent(Generic[R]):
    """How an answer is sent. Called in a pool thread."""

    render: Callable[[R], bytes]
    encoding: Encoding
    gzipped: bool

    def answer(self, found: R) -> Answer:
        answer = Answer(body=self.render(found), media_type=self.encoding.media_type)
        return packed(answer, gzipped=self.gzipped)


def _encoding(request: Request, *, has_llm: bool = False) -> Encoding:
    encoding = negotiate(request)
    return Encoding.JSON if encoding is Encoding.LLM and not has_llm else encoding


def render_names(found: TagNames, params: NamesParams, encoding: Encoding) -> bytes:
    """Write names as the version of the request has them."""
    is_protobuf = encoding is Encoding.PROTOBUF
    if params.is_legacy:
        limit = params.bounds.limit
        if is_protobuf:
            return tags_json.render_names_v1_protobuf(found, limit=limit)
        return tags_json.render_names_v1_json(found, limit=limit)
    if is_protobuf:
        return tags_json.render_names_v2_protobuf(found)
    return tags_json.render_names_v2_json(found)


def render_values(found: TagValues, params: ValuesParams, encoding: Encoding) -> bytes:
    """Write values as the version of the request has them."""
    if encoding is Encoding.PROTOBUF:
        if params.is_legacy:
            return tags_json.render_values_v1_protobuf(found)
        return tags_json.render_values_v2_protobuf(found)
    if params.is_legacy:
        return tags_json.render_values_v1_json(found)
    if encoding is Encoding.LLM:
        return tags_json.render_values_llm(found)
    return tags_json.render_values_v2_json(found)
