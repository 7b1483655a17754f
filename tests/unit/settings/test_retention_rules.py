"""Retention rules in each form in which people write them, and what is wrong with others."""

from __future__ import annotations

import pytest

from tracestore.errors import SettingsError
from tracestore.settings.overrides import read_tenant_file

ERROR = "{status=error}: 90d"


def rules(yaml: str) -> object:
    text = f"overrides:\n  acme:\n    compaction:\n      retention_rules:{yaml}"
    return (
        read_tenant_file(text, source="o.yaml").blocks["acme"].values["compaction.retention_rules"]
    )


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        ("\n        '{status=error}': 90d", (ERROR,)),
        ("\n        {status=error}: 90d", (ERROR,)),
        (
            '\n        {status=error}: 90d\n        { name = "a, b" }: 1h',
            (ERROR, '{ name = "a, b" }: 1h'),
        ),
        ("\n        { .a > 3 && .b =~ `x.*` }: 2w", ("{ .a > 3 && .b =~ `x.*` }: 2w",)),
        (" {'{status=error}': 90d}", (ERROR,)),
        ("\n        - {query: '{status=error}', keep: 90d}", (ERROR,)),
        ("\n        - query: '{ } | count() > 5'\n          keep: 3d", ("{ } | count() > 5: 3d",)),
        ("\n        - '{status=error}: 90d'", (ERROR,)),
        ("\n        - {status=error}: 90d", (ERROR,)),
        ("\n        - '{status=error}': 90d\n        - '{}': 1d", (ERROR, "{}: 1d")),
        (" '{status=error}: 90d'", (ERROR,)),
        (" []", ()),
    ],
)
def test_every_form_is_read(yaml: str, expected: tuple[str, ...]) -> None:
    assert rules(yaml) == expected


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        (" ['{status=error}']", "expected QUERY: DURATION"),
        (" ['{status=error}: soon']", "expected a duration"),
        (" {'{status=error}': 0}", "above 0"),
        (" {'{status=}': 1d}", "not TraceQL"),
        (" {'{ .a + }': 1d}", "not TraceQL"),
        (" {'{ } | rate()': 1d}", "computes metrics"),
        (" [{query: '{}'}]", "the rule lacks keep"),
        (" [{query: '{}', keep: 1d, for: x}]", "query and keep"),
        (" {'{}': [1d]}", "expected keys and values"),
        (" [[1]]", "expected keys and values"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(yaml: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        rules(yaml)
    message = str(caught.value)
    assert says in message
    assert message.startswith("o.yaml:")
    assert "\n" not in message
