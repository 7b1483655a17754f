"""The sampling policy of a tenant: rules in order, and what becomes of the rest.

The first rule that matches a trace decides. What none matches is kept by a ratio, by the hash of
the trace ID, so that all processes agree; without one it is kept if rules only drop, and dropped if
one keeps. Source: docs/sampling.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

import traceql
from traceql.check import check
from tracestore.errors import SettingsError
from tracestore.query.plan import SearchPlan, plan_search
from tracestore.settings.limits import TenantLimits
from tracestore.settings.sampling_rules import Action, parse_entry

Rows = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Weights = npt.NDArray[np.float64]
NO_RULE = "(no rule)"
POLICIES_REMEMBERED = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Traces that match a query are kept, or dropped."""

    keeps: bool
    query: str
    plan: SearchPlan

    @property
    def text(self) -> str:
        """As a line of a policy."""
        return f"{Action.KEEP if self.keeps else Action.DROP}: {self.query}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Of one tenant."""

    rules: tuple[Rule, ...]
    ratio: float
    """Share that is kept of what no rule matches."""
    says_ratio: bool = True
    """Whether the policy names it; else it follows from the rules."""

    def weights(self, places: Rows, hashes: Hashes) -> Weights:
        """Tell for how many traces each stands; 0: it is dropped.

        Args:
            places: (T,) place of the rule that decides over each; ``len(rules)``: none does.
            hashes: (T,) of the trace IDs, ``codec.filters.hash_trace_ids``.
        """
        of_rule = np.array([*(1.0 if rule.keeps else 0.0 for rule in self.rules), 0.0])
        found: Weights = of_rule[places]
        rest = places == len(self.rules)
        found[rest] = self._by_ratio(hashes[rest])
        return found

    def _by_ratio(self, hashes: Hashes) -> Weights:
        if self.ratio in (0.0, 1.0):
            return np.full(len(hashes), self.ratio)
        bound = np.uint64(min(int(self.ratio * 2.0**64), (1 << 64) - 1))
        return np.where(hashes < bound, 1.0 / self.ratio, 0.0)


def policy_of(limits: TenantLimits) -> Policy | None:
    """Get the policy of a tenant; None: everything is kept.

    Raises: SettingsError for what settings are checked for when they are loaded.
    """
    if not limits.sampling and not limits.drop:
        return None
    return parse_policy(limits.sampling, limits.drop)


@lru_cache(maxsize=POLICIES_REMEMBERED)
def parse_policy(sampling: tuple[str, ...], drop: tuple[str, ...] = ()) -> Policy:
    """Read a policy: the queries of ``drop`` come first. Raises: SettingsError."""
    rules = [_rule(query, keeps=False) for query in drop]
    ratio: float | None = None
    for text in sampling:
        try:
            entry = parse_entry(text)
        except ValueError as error:
            raise SettingsError(f"sampling: entry {text!r}: {error}") from error
        if entry.action is Action.KEEP_RATIO:
            ratio = entry.ratio
        else:
            rules.append(_rule(entry.query, keeps=entry.action is Action.KEEP))
    by_rules = 0.0 if any(rule.keeps for rule in rules) else 1.0
    return Policy(
        rules=tuple(rules),
        ratio=by_rules if ratio is None else ratio,
        says_ratio=ratio is not None,
    )


def _rule(query: str, *, keeps: bool) -> Rule:
    try:
        parsed = traceql.parse(query)
        check(parsed, query)
        plan = plan_search(parsed)
    except traceql.QueryError as error:
        raise SettingsError(f"sampling: {query!r}: {error}") from error
    if plan.may_fail:
        raise SettingsError(
            f"sampling: {query!r}: a structural operator may meet several spansets of a trace, "
            "which fails: put coalesce() before it"
        )
    return Rule(keeps=keeps, query=query, plan=plan)


def rule_texts(policy: Policy) -> Sequence[str]:
    """Name what decides: the rules, and the rest behind them."""
    rest = f"{Action.KEEP_RATIO}: {policy.ratio:g}" if policy.says_ratio else NO_RULE
    return [*(rule.text for rule in policy.rules), rest]
