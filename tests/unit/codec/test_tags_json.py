import json

import pytest

from tracestore.codec import tags_json
from tracestore.codec.proto import tempopb_pb2 as pb
from tracestore.model.results import QueryStats
from tracestore.model.tags import TagNames, TagScope, TagType, TagValues

STATS = QueryStats(
    inspected_bytes=3120, total_jobs=4, completed_jobs=3, total_blocks=2, total_block_bytes=9
)
METRICS = {
    "inspectedBytes": "3120",
    "totalJobs": 4,
    "completedJobs": 3,
    "totalBlocks": 2,
    "totalBlockBytes": "9",
}
NAMES = TagNames(
    scopes=((TagScope.RESOURCE, ("b", "é")), (TagScope.SPAN, ("", "a", "b"))), stats=STATS
)
VALUES = TagValues(
    types=(TagType.STRING, TagType.INT, TagType.STRING, TagType.STRING),
    texts=("cart", "200", "", "200"),
    stats=STATS,
)


def test_names_as_json() -> None:
    assert json.loads(tags_json.render_names_v1_json(NAMES)) == {
        "tagNames": ["", "a", "b", "é"],
        "metrics": METRICS,
    }
    assert json.loads(tags_json.render_names_v2_json(NAMES)) == {
        "scopes": [
            {"name": "resource", "tags": ["b", "é"]},
            {"name": "span", "tags": ["", "a", "b"]},
        ],
        "metrics": METRICS,
    }


def test_a_limit_of_the_first_version_counts_all_names() -> None:
    body = tags_json.render_names_v1_json(NAMES, limit=2)
    message = pb.SearchTagsResponse.FromString(tags_json.render_names_v1_protobuf(NAMES, limit=2))

    assert json.loads(body)["tagNames"] == list(message.tagNames) == ["", "a"]


def test_values_as_json() -> None:
    assert json.loads(tags_json.render_values_v1_json(VALUES)) == {
        "tagValues": ["", "200", "cart"],
        "metrics": METRICS,
    }
    assert json.loads(tags_json.render_values_v2_json(VALUES)) == {
        "tagValues": [
            {"type": "string", "value": "cart"},
            {"type": "int", "value": "200"},
            {"type": "string"},
            {"type": "string", "value": "200"},
        ],
        "metrics": METRICS,
    }
    assert json.loads(tags_json.render_values_llm(VALUES))["tagValues"] == {
        "string": ["cart", "", "200"],
        "int": ["200"],
    }


@pytest.mark.parametrize(
    ("render", "empty", "body"),
    [
        (tags_json.render_names_v1_json, TagNames(scopes=()), b'{"tagNames":[],"metrics":{}}'),
        (tags_json.render_names_v2_json, TagNames(scopes=()), b'{"scopes":[],"metrics":{}}'),
        (tags_json.render_values_v1_json, TagValues(), b'{"tagValues":[],"metrics":{}}'),
        (tags_json.render_values_v2_json, TagValues(), b'{"tagValues":[],"metrics":{}}'),
    ],
)
def test_nothing_is_an_empty_list(render, empty, body) -> None:  # type: ignore[no-untyped-def]  # a table
    assert render(empty) == body


def test_protobuf_is_what_the_contract_numbers() -> None:
    v1 = pb.SearchTagsResponse.FromString(tags_json.render_names_v1_protobuf(NAMES))
    v2 = pb.SearchTagsV2Response.FromString(tags_json.render_names_v2_protobuf(NAMES))
    texts = pb.SearchTagValuesResponse.FromString(tags_json.render_values_v1_protobuf(VALUES))
    values = pb.SearchTagValuesV2Response.FromString(tags_json.render_values_v2_protobuf(VALUES))

    assert list(v1.tagNames) == ["", "a", "b", "é"]
    assert [(scope.name, list(scope.tags)) for scope in v2.scopes] == [
        ("resource", ["b", "é"]),
        ("span", ["", "a", "b"]),
    ]
    assert list(texts.tagValues) == ["", "200", "cart"]
    assert [(one.type, one.value) for one in values.tagValues] == [
        ("string", "cart"),
        ("int", "200"),
        ("string", ""),
        ("string", "200"),
    ]
    for message in (v1, v2, texts, values):
        metrics = message.metrics
        assert (metrics.inspectedBytes, metrics.totalJobs, metrics.completedJobs) == (3120, 4, 3)
        assert (metrics.totalBlocks, metrics.totalBlockBytes) == (2, 9)
