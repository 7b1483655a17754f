"""The settings of a process: flag over environment over file over default, each with its origin.

The only reader of the environment and of the configuration file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tracestore.errors import SettingsError
from tracestore.settings.assignments import Assignment
from tracestore.settings.check import check_settings
from tracestore.settings.environment import read_environment
from tracestore.settings.expand import expand_environment
from tracestore.settings.flags import Arguments
from tracestore.settings.leaves import build_settings, leaves
from tracestore.settings.overrides import TenantFile, read_tenant_file
from tracestore.settings.tree import Settings
from tracestore.settings.yaml_file import read_yaml

DEFAULT_ORIGIN = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSettings:
    """The tree, and how it came to be."""

    settings: Settings
    origins: Mapping[str, str]
    """Path of every leaf -> ``default``, ``FILE:LINE``, ``environment NAME`` or ``flag --NAME``."""
    warnings: tuple[str, ...] = ()
    """Keys that were accepted and have no effect, one line each."""
    expansion: Mapping[str, str] | None = None
    """The environment that files are expanded with; None: they are taken as they are."""


def load_settings(
    arguments: Arguments, *, environ: Mapping[str, str] | None = None
) -> LoadedSettings:
    """Read what the arguments name and build the tree.

    Args:
        environ: the environment; None: that of the process.

    Raises:
        SettingsError: the file cannot be read, or a key or value is wrong.
    """
    if environ is None:
        environ = os.environ  # noqa: TID251 - the one place that reads it
    layers = [read_environment(environ), arguments.layer]
    expansion = environ if "config.expand-env" in arguments.switches else None
    if (name := arguments.config_file) is not None:
        layers.insert(0, read_yaml(_read_text(name, expansion, kind="config"), source=name))
    merged: dict[str, Assignment] = {}
    for layer in layers:
        merged |= layer.values
    settings = build_settings({path: given.value for path, given in merged.items()})
    origins = {path: merged[path].origin if path in merged else DEFAULT_ORIGIN for path in leaves()}
    check_settings(settings, origins)
    return LoadedSettings(
        settings=settings,
        origins=MappingProxyType(origins),
        warnings=tuple(warning for layer in layers for warning in layer.warnings),
        expansion=expansion,
    )


def default_settings(settings: Settings | None = None) -> LoadedSettings:
    """Wrap a tree that was built in code (default: all defaults), for embedding and tests."""
    return LoadedSettings(
        settings=Settings() if settings is None else settings,
        origins=MappingProxyType(dict.fromkeys(leaves(), DEFAULT_ORIGIN)),
    )


def read_overrides(loaded: LoadedSettings) -> TenantFile:
    """Read the file of the tenants' limits as it is now; an empty one if none is named.

    Raises: SettingsError.
    """
    name = loaded.settings.overrides.per_tenant_override_config
    if not name:
        return TenantFile()
    text = _read_text(name, loaded.expansion, kind="overrides")
    return read_tenant_file(text, source=name)


def _read_text(name: str, environ: Mapping[str, str] | None, *, kind: str) -> str:
    try:
        text = Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot read {kind} {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"cannot read {kind} {name}: no UTF-8 at byte {error.start}") from error
    return text if environ is None else expand_environment(text, environ, source=name)
