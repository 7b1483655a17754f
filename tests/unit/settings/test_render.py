"""The effective settings as text."""

from __future__ import annotations

import yaml

from tracestore.settings.flags import parse_arguments
from tracestore.settings.leaves import leaf_values
from tracestore.settings.load import default_settings, load_settings
from tracestore.settings.mask import MASK
from tracestore.settings.render import render_settings, render_value
from tracestore.settings.tree import Settings
from tracestore.settings.yaml_file import read_yaml

ARGV = ["--storage.path=a: b # c", "--server.http-listen-port=0"]
LOADED = load_settings(parse_arguments(ARGV), environ={"TRACESTORE_TARGET": "all"})


def test_the_text_is_yaml_that_loads_to_the_same_tree() -> None:
    text = render_settings(LOADED)
    values = {path: given.value for path, given in read_yaml(text, source="t").values.items()}
    nulls = {path: None for path, value in leaf_values(LOADED.settings).items() if value is None}

    assert values | nulls == leaf_values(LOADED.settings)


def test_each_value_that_was_set_names_its_origin() -> None:
    lines = render_settings(LOADED).splitlines()

    assert "  http_listen_port: 0  # flag --server.http-listen-port" in lines
    assert "target: all  # environment TRACESTORE_TARGET" in lines
    assert "  backend: local  # default" in lines


def test_diff_shows_only_what_differs() -> None:
    assert yaml.safe_load(render_settings(LOADED, "diff")) == {
        "server": {"http_listen_port": 0},
        "storage": {"path": "a: b # c"},
    }
    assert render_settings(default_settings(), "diff") == "{}\n"


def test_defaults_are_shown_whatever_was_set() -> None:
    assert render_settings(LOADED, "defaults") == render_settings(default_settings(), "defaults")
    assert yaml.safe_load(render_settings(LOADED, "defaults"))["storage"]["path"] == (
        Settings().storage.path
    )


def test_secrets_are_masked() -> None:
    assert render_value("secret_key", "hunter2") == f"'{MASK}'"
    assert render_value("bearer_token", "hunter2") == f"'{MASK}'"
    assert render_value("secret_key", "") == "''"
    assert render_value("tokens_max", 5) == "5"
