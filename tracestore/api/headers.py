"""Headers that are ours, for who sends and who reads them."""

from __future__ import annotations

TENANT_HEADER = "X-Scope-OrgID"
"""Name of the tenant of a request, as Tempo has it."""
MISSING_HEADER = "X-Tracestore-Missing"
"""IDs of the blocks that a partial answer lacks, with commas between."""
