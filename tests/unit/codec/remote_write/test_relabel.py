"""Relabelling; the expected outcomes are those of Prometheus' own tests of ``relabel``."""

from __future__ import annotations

import pytest

from tracestore.codec.remote_write.relabel import relabel_by
from tracestore.settings.relabel import parse_relabel_rule

ABC = {"a": "foo", "b": "bar", "c": "baz"}


@pytest.mark.parametrize(
    ("labels", "rules", "want"),
    [
        (
            ABC,
            [{"source_labels": ["a"], "regex": "f(.*)", "target_label": "d", "separator": ";",
              "replacement": "ch${1}-ch${1}"}],
            ABC | {"d": "choo-choo"},
        ),
        (
            ABC,
            [{"source_labels": ["a", "b"], "regex": "f(.*);(.*)r", "target_label": "a",
              "replacement": "b${1}${2}m"},
             {"source_labels": ["c", "a"], "regex": "(b).*b(.*)ba(.*)", "target_label": "d",
              "replacement": "$1$2$2$3"}],
            {"a": "boobam", "b": "bar", "c": "baz", "d": "boooom"},
        ),
        (ABC, [{"source_labels": ["a"], "regex": ".*o.*", "action": "drop"}], None),
        (ABC, [{"source_labels": ["a"], "regex": "f", "action": "drop"}], ABC),
        (ABC, [{"source_labels": ["a"], "regex": "no-match", "action": "keep"}], None),
        (ABC, [{"source_labels": ["a"], "regex": "f.*", "action": "keep"}], ABC),
        (ABC, [{"target_label": "b", "replacement": ""}], {"a": "foo", "c": "baz"}),
        (ABC, [{"source_labels": ["a"], "regex": "no", "target_label": "d"}], ABC),
        (
            ABC,
            [{"source_labels": ["c"], "target_label": "d", "action": "hashmod", "modulus": 1000}],
            ABC | {"d": "976"},
        ),
        (
            {"a": "foo\nbar"},
            [{"source_labels": ["a"], "target_label": "b", "action": "hashmod", "modulus": 1000}],
            {"a": "foo\nbar", "b": "734"},
        ),
        (
            {"a": "foo", "b1": "bar", "b2": "baz"},
            [{"regex": "(b.*)", "replacement": "bar_${1}", "action": "labelmap"}],
            {"a": "foo", "b1": "bar", "b2": "baz", "bar_b1": "bar", "bar_b2": "baz"},
        ),
        ({"a": "1", "b1": "2"}, [{"regex": "(b.*)", "action": "labeldrop"}], {"a": "1"}),
        ({"a": "1", "b1": "2"}, [{"regex": "(b.*)", "action": "labelkeep"}], {"b1": "2"}),
        (
            {"foo": "bAr123Foo"},
            [{"source_labels": ["foo"], "action": "uppercase", "target_label": "u"},
             {"source_labels": ["foo"], "action": "Lowercase", "target_label": "l"}],
            {"foo": "bAr123Foo", "u": "BAR123FOO", "l": "bar123foo"},
        ),
        (
            {"p": "1", "q": "1"},
            [{"source_labels": ["p"], "action": "keepequal", "target_label": "q"}],
            {"p": "1", "q": "1"},
        ),
        (
            {"p": "1", "q": "2"},
            [{"source_labels": ["p"], "action": "keepequal", "target_label": "q"}],
            None,
        ),
        (
            {"p": "1", "q": "1"},
            [{"source_labels": ["p"], "action": "dropequal", "target_label": "q"}],
            None,
        ),
        (
            {"p": "1"},
            [{"source_labels": ["x"], "action": "dropequal", "target_label": "y"}],
            None,
        ),
        (
            {"name": "x_y"},
            [{"source_labels": ["name"], "regex": "(?P<one>.)_(.)", "target_label": "l_${2}",
              "replacement": "$one-$$-$1x-$9"}],
            {"name": "x_y", "l_y": "x-$--"},
        ),
        (
            {"a": "1.2"},
            [{"source_labels": ["a"], "regex": "(.*)", "target_label": "${1}", "replacement": "v"}],
            {"a": "1.2"},
        ),
        ({"a": "x"}, [{"action": "labeldrop", "regex": ".*"}], None),
    ],
)  # fmt: skip
def test_rules_do_what_prometheus_does(labels, rules, want) -> None:  # type: ignore[no-untyped-def]
    relabel = relabel_by([parse_relabel_rule(rule, "rule") for rule in rules])
    found = relabel(tuple(sorted(labels.items())))

    assert found == (None if want is None else tuple(sorted(want.items())))
