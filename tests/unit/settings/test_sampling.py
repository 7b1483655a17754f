"""Sampling policies in each form in which people write them, and what is wrong with others."""

from __future__ import annotations

import pytest

from tracestore.errors import SettingsError
from tracestore.settings.check import check_settings
from tracestore.settings.leaves import build_settings
from tracestore.settings.overrides import Overrides, read_tenant_file
from tracestore.settings.render_overrides import render_file, render_limits
from tracestore.settings.yaml_file import read_yaml

ERRORS = "keep: {status=error}"
OF_THE_ISSUE = """
      sampling: [{keep: '{status=error}'}, {keep: '{trace:duration > 2s}'}, {keep: \
'{resource.service.name =~ "payment-api|auth-service"}'}, {keep_ratio: 0.1}]
      drop: '{span.http.target = "/health"}'
"""


def values(yaml: str) -> dict[str, object]:
    text = f"overrides:\n  acme:{yaml}"
    return dict(read_tenant_file(text, source="o.yaml").blocks["acme"].values)


def sampling(yaml: str) -> object:
    return values(f"\n    sampling:{yaml}")["sampling"]


def test_the_policy_of_the_documentation_is_read_as_it_is_written() -> None:
    expected = {
        "sampling": (
            ERRORS,
            "keep: {trace:duration > 2s}",
            'keep: {resource.service.name =~ "payment-api|auth-service"}',
            "keep_ratio: 0.1",
        ),
        "drop": ('{span.http.target = "/health"}',),
    }
    assert values(OF_THE_ISSUE) == expected

    layer = read_yaml(f"overrides:\n    defaults:{OF_THE_ISSUE}", source="c.yaml")
    found = {path: given.value for path, given in layer.values.items()}
    assert found == {f"overrides.defaults.{name}": value for name, value in expected.items()}
    origins = dict.fromkeys(found, "c.yaml")
    check_settings(build_settings(found), origins)


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        ("\n    - keep: '{status=error}'\n    - keep_ratio: 0.5", (ERRORS, "keep_ratio: 0.5")),
        (" [{keep: {status=error}}]", (ERRORS,)),
        (" ['keep: {status=error}', 'drop: {}']", (ERRORS, "drop: {}")),
        (" 'keep: {status=error}'", (ERRORS,)),
        (" [{drop: '{.a = 1}'}, {keep_ratio: 1}]", ("drop: {.a = 1}", "keep_ratio: 1")),
        (
            " {keep_ratio: 0.1, keep: ['{status=error}', '{.a}'], drop: '{.b}'}",
            ("drop: {.b}", ERRORS, "keep: {.a}", "keep_ratio: 0.1"),
        ),
        (" []", ()),
    ],
)
def test_every_form_is_read(yaml: str, expected: tuple[str, ...]) -> None:
    assert sampling(yaml) == expected


def test_noise_may_be_several_queries() -> None:
    assert values("\n    drop: ['{.a}', {.b}]")["drop"] == ("{.a}", "{.b}")


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        ("sampling: [{keep: '{status=}'}]", "o.yaml:3: sampling: entry 'keep: {status=}': its"),
        ("sampling: [{keep: '{} | rate()'}]", "computes metrics"),
        ("sampling: [{drop: ''}]", "drop says nothing"),
        ("sampling: [{keep_ratio: 1.5}]", "a share from 0 to 1"),
        ("sampling: [{keep_ratio: -0.1}]", "a share from 0 to 1"),
        ("sampling: [{keep_ratio: nan}]", "a share from 0 to 1"),
        ("sampling: [{keep_ratio: most}]", "a share from 0 to 1"),
        ("sampling: [{keep_ratio: 0.1}, {keep_ratio: 0.2}]", "keep_ratio is there twice"),
        ("sampling:\n    - keep: '{}'\n    - kep: '{}'", "o.yaml:5: sampling: an entry has one of"),
        ("sampling: [[1]]", "expected a list of {keep"),
        ("sampling: [{}]", "expected a list of {keep"),
        ("sampling: [{keep: '{}', keep_ratio: 0.5}]", "an entry has one key"),
        ("sampling: keep", "expected keep: "),
        ("drop: '{.a + }'", "not TraceQL"),
        ("drop: ['{} | rate()']", "computes metrics"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_place(yaml: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        values(f"\n    {yaml}")
    message = str(caught.value).replace("overrides.defaults.", "")
    assert says in message
    assert message.startswith("o.yaml:")
    assert "\n" not in message


def test_a_policy_is_shown_as_yaml_that_can_be_read_again() -> None:
    file = read_tenant_file(f"overrides:\n  acme:{OF_THE_ISSUE}", source="o.yaml")
    overrides = Overrides.of(Overrides().defaults, file)
    shown = render_file(file, overrides.defaults)
    again = read_tenant_file(shown, source="again")
    assert again.blocks["acme"].values == file.blocks["acme"].values
    assert f"- {ERRORS!r}" in shown or ERRORS in shown
    assert "sampling: ['keep: {status=error}'" in render_limits(overrides.limits("acme"))
