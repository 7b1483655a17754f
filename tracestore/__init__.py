"""A distributed-tracing store: OTLP in, Parquet in one bucket, TraceQL out.

``tracestore.open("DIR-or-URL").search("{ status = error }")`` asks one; docs/cli.md says more.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracestore.client.store import Store


def open(
    target: str | PathLike[str],
    *,
    headers: Mapping[str, str] | None = None,
    tenant: str | None = None,
) -> Store:
    """Open a store to ask it: a server by its URL, or a data directory, which is only read.

    Args:
        headers: sent with each request to a server, for example for a login.
        tenant: whose spans are looked at, where there are tenants; ``a|b`` for several.

    Raises: InvalidRequestError if it is neither a URL nor a data directory.
    """
    # Imported here, since every part of this program imports the package.
    from tracestore.client.store import open_store

    return open_store(target, headers=headers, tenant=tenant)


__all__ = ["open"]
