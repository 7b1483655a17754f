"""Traces of visits to a shop of three services, within some minutes of ``EPOCH_NS``."""

from __future__ import annotations

import random
from typing import Any

from support.otlp import request, span


def visits(seed: int, length_s: int) -> list[bytes]:
    """Make 120 traces through shop, cart and bank, with a database, a queue and a mail service."""
    rng = random.Random(seed)
    made = []
    for trace in range(1, 121):
        at = rng.randrange(length_s * 1000 - 30_000)
        if trace % 3 == 0:
            at //= 4  # some series are seen only in the beginning
        made.append(_visit(rng, trace, at))
    return made


def _visit(rng: random.Random, trace: int, at: int) -> bytes:
    def one(id: int, parent: int, name: str, kind: str, after: int, **more: Any) -> Any:
        status = "error" if rng.random() < 0.15 else None
        took = rng.choice([1, 3, 17, 90, 150, 700, 1500, 20_000])
        return span(
            trace=trace,
            id=id,
            parent=parent,
            name=name,
            kind=kind,
            status=status,
            start_ms=at + after,
            duration_ms=took,
            **more,
        )

    shop = [one(1, 0, "GET /", "server", 0), one(2, 1, "cart", "client", 5)]
    cart = [one(3, 2, rng.choice(["get", "put"]), "server", 7)]
    bank = []
    if trace % 2:
        cart.append(one(4, 3, "charge", "client", 8))
        bank.append(one(5, 4, "charge", "server", 9))
    if trace % 5 == 0:
        bank.append(
            one(6, 5, "SELECT", "client", 10, attributes={"db.system": "redis", "db.name": "x"})
        )
        cart.append(one(7, 3, "mail", "client", 11, attributes={"peer.service": "mailer"}))
    if trace % 7 == 0:
        cart.append(one(8, 3, "orders", "producer", 12))
        bank.append(one(9, 8, "orders", "consumer", 30))
    if trace % 11 == 0:
        bank.append(one(10, 5, "inner", "internal", 13))
    groups = {"shop": shop, "cart": cart, "bank": bank}
    return b"".join(
        request(resource={"service.name": name}, spans=spans)
        for name, spans in groups.items()
        if spans
    )
