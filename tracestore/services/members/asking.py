"""Asks processes who they are, once, from a program that is no member itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from tracestore.errors import TracestoreError
from tracestore.services.members.member import Identity
from tracestore.services.members.service import hello_of
from tracestore.services.rpc import Peers
from tracestore.settings.members_tree import MembersSettings

MESSAGE_BYTES_MAX = 1 << 20


async def ask_each(
    addresses: Iterable[str], settings: MembersSettings
) -> Mapping[str, Identity | str]:
    """Ask all at once. Returns: by address who answered, or why nobody did."""
    peers = Peers(message_bytes_max=MESSAGE_BYTES_MAX)
    ask = hello_of(peers, settings)

    async def ask_one(address: str) -> Identity | str:
        try:
            return await ask(address)
        except TracestoreError as error:
            return str(error)

    named = sorted(set(addresses) - {""})
    try:
        answers = await asyncio.gather(*map(ask_one, named))
    finally:
        await peers.close()
    return dict(zip(named, answers, strict=True))
