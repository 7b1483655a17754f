"""A sampling policy in a file of its own, in the YAML of the configuration.

The keys ``sampling`` and ``drop``, or a list of entries, or a whole configuration, of which the
policy of ``overrides.defaults`` is taken.
"""

from __future__ import annotations

import yaml

from tracestore.errors import SettingsError
from tracestore.settings.assignments import Layer
from tracestore.settings.check import wrong
from tracestore.settings.override_keys import DEFAULTS
from tracestore.settings.yaml_file import FileWalk, open_yaml, read_yaml

_KEYS = ("sampling", "drop")


def read_policy_file(text: str, *, source: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read a policy: entries, and queries of noise, as ``TenantLimits`` has them.

    Raises: SettingsError in one line, naming the place; also if there is no policy.
    """
    with open_yaml(text, source=source) as (loader, root):
        layer = _read(FileWalk(loader, source, Layer()), root, text)
    found: list[tuple[str, ...]] = []
    for key in _KEYS:
        path = f"{DEFAULTS}.{key}"
        given = layer.values.get(path)
        value = () if given is None else given.value
        assert isinstance(value, tuple)
        if given is not None and (reason := wrong(path, value)) is not None:
            raise SettingsError(f"{given.origin}: {key}: {reason}")
        found.append(value)
    if not any(found):
        raise SettingsError(
            f"{source}: there is no sampling policy: expected sampling: [{{keep: "
            "'{status=error}'}, {keep_ratio: 0.1}], drop: '{...}', or both"
        )
    return found[0], found[1]


def _read(walk: FileWalk, root: yaml.Node | None, text: str) -> Layer:
    above = tuple(DEFAULTS.split("."))
    if isinstance(root, yaml.SequenceNode):
        walk.read_key((*above, "sampling"), root, root)
    elif isinstance(root, yaml.MappingNode):
        pairs = list(walk.pairs_of(root, "keys and values"))
        if not any(key.value in _KEYS for key, _ in pairs):
            return read_yaml(text, source=walk.source)
        for key, value in pairs:
            if key.value not in _KEYS:
                expected = f"expected {' and '.join(_KEYS)}"
                raise SettingsError(f"{walk.origin(key)}: unknown key {key.value}, {expected}")
            walk.read_key((*above, key.value), key, value)
    elif root is not None:
        raise SettingsError(f"{walk.origin(root)}: expected a list, or keys and values")
    return walk.layer
