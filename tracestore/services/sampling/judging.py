"""What a policy says of the traces of a source: rules are evaluated on whole traces, as masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracestore.query.candidates import evaluate
from tracestore.query.control import QueryControl
from tracestore.query.scan import SourceScan
from tracestore.query.wholes import whole_traces
from tracestore.services.sampling.policy import Policy, Rows


def deciding_rules(
    policy: Policy, scan: SourceScan, others: Sequence[SourceScan], control: QueryControl
) -> Rows:
    """Find which rule decides over each trace of a source.

    Args:
        others: sources that may hold further parts of the traces.

    Returns: (T,) place of the first rule that matches the whole trace; ``len(rules)``: none does.
    Raises: what a source raises that cannot be read.
    Cost: that of as many searches as there are rules; traces in parts are put together.
    """
    found = _first_match(policy, scan)
    if policy.rules:
        for rows, whole in whole_traces(scan, others, control):
            found[rows] = _first_match(policy, whole)
    return found


def _first_match(policy: Policy, scan: SourceScan) -> Rows:
    """(T,) place of the first rule that matches each trace as it is here."""
    none = len(policy.rules)
    first = np.full(len(scan.traces), none, np.int64)
    for place, rule in enumerate(policy.rules):
        matches = evaluate(scan, rule.plan, None)
        if matches is not None:
            rows = matches.rows
            first[rows] = np.minimum(first[rows], place)
    return first
