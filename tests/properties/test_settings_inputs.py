"""Whatever stands in a file or a flag: settings come out, or one line that says why not."""

from __future__ import annotations

from collections.abc import Callable

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from tracestore.errors import SettingsError
from tracestore.settings.expand import expand_environment
from tracestore.settings.flags import parse_arguments
from tracestore.settings.leaves import leaf_values, leaves
from tracestore.settings.load import default_settings, load_settings
from tracestore.settings.render import render_settings
from tracestore.settings.schema import find, iterate, nearest
from tracestore.settings.yaml_file import read_yaml

PATHS = sorted(name for name, _ in iterate())
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["5m", "64MiB", "0", "all", "local", "s3", "0.0.0.0:1", "true", "-1", "1e400"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6) | SCALARS, inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    tree: dict[str, object] = {}
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=5)):
        *sections, name = path.split(".")
        node = tree
        for section in sections:
            below = node.setdefault(section, {})
            node = below if isinstance(below, dict) else {}
        node[name] = draw(VALUES)
    return yaml.safe_dump(tree)


def refusal(call: Callable[[], object]) -> str | None:
    """Say why a call was refused; None if it was not. Any other error is a failure of the test."""
    try:
        call()
    except SettingsError as error:
        return str(error)
    return None


@example('"a\\nb": 1')
@example('{"a\\nb": 1, "a\\nb": 2}')
@given(documents() | st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_file_is_read_or_refused_in_one_line(text: str) -> None:
    message = refusal(lambda: read_yaml(text, source="t.yaml"))

    assert message is None or message.startswith("t.yaml")
    assert message is None or len(message.splitlines()) == 1


@given(
    st.lists(st.text(max_size=12) | st.sampled_from(PATHS).map(lambda p: f"--{p}=1"), max_size=3)
)
def test_any_command_line_is_read_or_refused(argv: list[str]) -> None:
    try:
        arguments = parse_arguments(argv)
    except SettingsError:
        return
    assert arguments.layer.values.keys() <= leaves().keys()


@given(st.text(alphabet="${}:-AB/#%^, \n", max_size=20))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    environ = {"A": "a", "B": ""}
    message = refusal(lambda: expand_environment(text, environ, source="t.yaml"))

    assert message is None or message.startswith("t.yaml:")


@given(st.lists(st.text(max_size=10), min_size=1, max_size=4))
def test_the_nearest_key_is_a_known_one(path: list[str]) -> None:
    assert find(nearest(path).split(".")) is not None


@given(st.data())
def test_what_is_rendered_loads_to_the_same_values(data: st.DataObject) -> None:
    texts = ["storage.path", "ingester.wal.path", "server.http_listen_address"]
    text = data.draw(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1)
    )
    path = data.draw(st.sampled_from(texts))
    loaded = load_settings(parse_arguments([f"--{path}={text}"]), environ={})
    rendered = read_yaml(render_settings(loaded), source="t.yaml")

    assert leaf_values(default_settings().settings) | {path: text} == leaf_values(loaded.settings)
    assert rendered.values[path].value == text
