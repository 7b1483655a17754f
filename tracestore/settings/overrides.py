"""The limits of every tenant as one immutable value, and the file that they come from.

A block of the file stands for a tenant, ``*`` for those without one. As in Tempo it replaces the
defaults whole: what it does not say is unlimited, or as the component has it. Rate and burst fall
back to the defaults, where Tempo would refuse everything (decisions/0010), and so does what falls
back in Tempo.

Source: wire contract, sections 18.1 to 18.3.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import cast

import yaml

from tracestore.errors import SettingsError
from tracestore.settings.assignments import Layer, printable
from tracestore.settings.check import wrong, wrong_text
from tracestore.settings.check_generator import wrong_together
from tracestore.settings.generator_limits import GeneratorLimits
from tracestore.settings.leaves import build_tree, leaf_values
from tracestore.settings.limits import TenantLimits
from tracestore.settings.override_keys import DEFAULTS
from tracestore.settings.schema import Section, find
from tracestore.settings.yaml_file import FileWalk, open_yaml
from tracestore.settings.yaml_nodes import node_of

ANY_TENANT = "*"
ROOT = "overrides"
_NESTED = frozenset(
    {field.name.rstrip("_") for field in dataclasses.fields(TenantLimits)}
    | {"storage", "forwarders", "cost_attribution"}
)
_KEPT = ("forwarders", "cost_attribution")
"""What the API of overrides shows beside what it was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantBlock:
    """What the file says of a tenant."""

    values: Mapping[str, object]
    """By key below ``overrides.defaults``."""
    kept: Mapping[str, object] = field(default_factory=dict)
    """What has no effect and is shown, as YAML has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantFile:
    """A file that was read."""

    blocks: Mapping[str, TenantBlock] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    sha256: str = ""
    """Of the text; empty: there is no file."""


def read_tenant_file(text: str, *, source: str) -> TenantFile:
    """Read the blocks of a file.

    Raises: SettingsError in one line, naming the place and for a key that nobody knows the nearest
    one.
    """
    blocks: dict[str, TenantBlock] = {}
    warnings: list[str] = []
    with open_yaml(text, source=source) as (loader, root):
        walk = _TenantWalk(loader, source, Layer())
        for key, node in () if root is None else walk.pairs_of(root, "keys and values"):
            if key.value != ROOT:
                raise SettingsError(
                    f"{walk.origin(key)}: unknown key {printable(key.value)}; the nearest known "
                    f"one is {ROOT}, and tenants stand below it"
                )
            for tenant, block in walk.pairs_of(node, "tenants and their limits"):
                one = _TenantWalk(loader, source, Layer())
                blocks[tenant.value] = one.read_block(block)
                warnings += one.layer.warnings
    return TenantFile(
        blocks=MappingProxyType(blocks),
        warnings=tuple(_once_each(warnings)),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def read_user_block(limits: Mapping[str, object], *, source: str) -> TenantBlock:
    """Read what a tenant has set by the API, which has the keys of a block.

    Raises: SettingsError.
    """
    walk = _TenantWalk(yaml.SafeLoader(""), source, Layer())
    return walk.read_block(node_of(dict(limits)))


class _TenantWalk(FileWalk):
    """The walk over the blocks, with the keys of ``overrides.defaults`` and the flat ones."""

    def read_block(self, node: yaml.Node) -> TenantBlock:
        """Read the block of a tenant; nothing at all is an empty block."""
        kept: dict[str, object] = {}
        for key, value in self.pairs_of(node, "limits"):
            path = (*DEFAULTS.split("."), key.value) if key.value in _NESTED else (ROOT, key.value)
            is_flat = key.value.startswith("metrics_generator_")
            if key.value not in _NESTED and isinstance(find(path), Section) and not is_flat:
                raise _not_of_a_tenant(self.origin(key), key.value)
            if key.value in _KEPT:
                kept[key.value] = self.plain(value)
            self.read_key(path, key, value)
        prefix = f"{DEFAULTS}."
        values = {}
        for path_text, given in self.layer.values.items():
            if not path_text.startswith(prefix):
                raise _not_of_a_tenant(given.origin, path_text)
            if (reason := wrong(path_text, given.value)) is not None:
                what = wrong_text(path_text, given.value, reason)
                raise SettingsError(f"{given.origin}: {path_text}: {what}")
            values[path_text.removeprefix(prefix)] = given.value
        if (together := wrong_together(values)) is not None:
            path_text, reason = prefix + together[0], together[1]
            raise SettingsError(f"{self.layer.values[path_text].origin}: {path_text}: {reason}")
        return TenantBlock(values=values, kept=kept)


def _not_of_a_tenant(origin: str, key: str) -> SettingsError:
    return SettingsError(f"{origin}: {key} is of the server, not of a tenant")


def _once_each(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """The limits of all tenants at one time; replaced whole."""

    defaults: TenantLimits = field(default_factory=TenantLimits)
    file: TenantFile = field(default_factory=TenantFile)
    by_tenant: Mapping[str, TenantLimits] = field(default_factory=dict)
    """Of the blocks of the file, ``*`` too."""

    @classmethod
    def of(cls, defaults: TenantLimits, file: TenantFile) -> Overrides:
        """Put the blocks over the defaults."""
        by_tenant = {name: limits_of(block, defaults) for name, block in file.blocks.items()}
        return cls(defaults=defaults, file=file, by_tenant=MappingProxyType(by_tenant))

    def limits(self, tenant: str) -> TenantLimits:
        """Get the limits of a tenant: of its block, else of ``*``, else the defaults."""
        found = self.by_tenant.get(tenant)
        if found is None:
            found = self.by_tenant.get(ANY_TENANT, self.defaults)
        return found

    def block(self, tenant: str) -> TenantBlock | None:
        """Get what the file says of a tenant, by name or by ``*``."""
        return self.file.blocks.get(tenant) or self.file.blocks.get(ANY_TENANT)

    def left_out(self) -> dict[str, list[str]]:
        """Name the limits that the defaults set and that a block does not repeat, by tenant."""
        set_by_defaults = [
            path
            for path, value in leaf_values(self.defaults).items()
            if value != leaf_values(TenantLimits())[path] and path not in _INHERITED
        ]
        missing = {
            name: [path for path in set_by_defaults if path not in block.values]
            for name, block in self.file.blocks.items()
        }
        return {name: paths for name, paths in missing.items() if paths}


_INHERITED = frozenset(
    {
        "ingestion.rate_limit_bytes",
        "ingestion.burst_size_bytes",
        "ingestion.retry_info_enabled",
        "metrics_generator.native_histogram_bucket_factor",
        "metrics_generator.native_histogram_max_bucket_number",
        "metrics_generator.native_histogram_min_reset_duration_s",
        "metrics_generator.span_name_sanitization",
    }
)


def with_own(limits: GeneratorLimits, block: TenantBlock) -> GeneratorLimits:
    """Put what a tenant has set itself over its limits, key by key."""
    prefix = "metrics_generator."
    own = {
        path.removeprefix(prefix): value
        for path, value in block.values.items()
        if path.startswith(prefix)
    }
    return cast("GeneratorLimits", build_tree(GeneratorLimits, {**leaf_values(limits), **own}))


def limits_of(block: TenantBlock, defaults: TenantLimits) -> TenantLimits:
    """Make the limits of a block: what it says, else nothing; a few from the defaults."""
    of_defaults = leaf_values(defaults)
    inherited = {path: of_defaults[path] for path in _INHERITED}
    return cast("TenantLimits", build_tree(TenantLimits, {**inherited, **block.values}))
