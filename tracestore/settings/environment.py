"""``TRACESTORE_...`` variables to assignments."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tracestore.errors import SettingsError
from tracestore.settings.assignments import Layer
from tracestore.settings.client import URL_VARIABLE
from tracestore.settings.schema import find, nearest

PREFIX = "TRACESTORE_"
_NO_SETTINGS = frozenset({"TRACESTORE_KERNEL_BOUNDSCHECK", URL_VARIABLE})
"""Variables of the build and of the commands that ask."""
_KUBERNETES = re.compile(r"TRACESTORE(_[A-Z0-9_]+)?_(SERVICE_(HOST|PORT.*)|PORT(_\d+_.*)?)")
"""What Kubernetes sets in every pod for a Service named ``tracestore...``."""


def read_environment(environ: Mapping[str, str]) -> Layer:
    """Resolve the variables that begin with ``TRACESTORE_``; ``__`` stands between two keys.

    Raises:
        SettingsError: a variable with ``__`` names no known key, or a value is wrong. Other unknown
            variables are warnings, since not everybody who sets such a name means this program.
    """
    layer = Layer()
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in _NO_SETTINGS:
            continue
        path = variable.removeprefix(PREFIX).lower().split("__")
        origin = f"environment {variable}"
        if find(path) is not None:
            layer.give(path, environ[variable], origin)
        elif _KUBERNETES.fullmatch(variable):
            continue
        else:
            like = PREFIX + nearest(path).replace(".", "__").upper()
            message = f"{origin}: unknown variable; the nearest known one is {like}"
            if "__" in variable:
                raise SettingsError(message)
            layer.warnings.append(message)
    return layer
