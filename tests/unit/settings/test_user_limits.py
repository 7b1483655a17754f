import pytest

from tracestore.errors import InvalidRequestError
from tracestore.settings.user_limits import check_limits, merge_patch, parse_json

DOCUMENTED = {
    "forwarders": ["a"],
    "cost_attribution": {"dimensions": {"service.name": ""}},
    "metrics_generator": {
        "processors": ["span-metrics"],
        "disable_collection": False,
        "collection_interval": "30s",
        "trace_id_label_name": "traceID",
        "ingestion_time_range_slack": "45s",
        "generate_native_histograms": "both",
        "native_histogram_max_bucket_number": 160,
        "native_histogram_bucket_factor": 1.1,
        "native_histogram_min_reset_duration": "15m",
        "span_name_sanitization": "enabled",
        "processor": {
            "service_graphs": {"dimensions": ["x"], "histogram_buckets": [0.1, 1]},
            "span_metrics": {"intrinsic_dimensions": {"span_kind": True}, "dimensions": []},
            "host_info": {"host_identifiers": ["k8s.node.name"], "metric_name": "up"},
        },
    },
}


def test_what_is_documented_is_taken_as_it_is() -> None:
    assert check_limits(DOCUMENTED) == DOCUMENTED
    assert check_limits({}) == {}
    assert check_limits({"forwarders": []}) == {"forwarders": []}
    assert check_limits({"forwarders": None, "metrics_generator": {"processors": None}}) == {
        "metrics_generator": {}
    }


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"ingestion": {}}, 'json: unknown field "ingestion"'),
        ({"metrics_generator": {"x": 1}}, 'json: unknown field "metrics_generator.x"'),
        ({"forwarders": "a"}, "forwarders: Input should be a valid list"),
        ({"metrics_generator": {"disable_collection": "yes"}}, "disable_collection"),
        ({"metrics_generator": {"collection_interval": "14s"}}, "must be between 15s and 300s"),
        ({"metrics_generator": {"collection_interval": "301s"}}, "must be between 15s and 300s"),
        ({"metrics_generator": {"collection_interval": "x"}}, "got 'x'"),
        ({"metrics_generator": {"ingestion_time_range_slack": "13h"}}, "between 0s and 43200s"),
        ({"metrics_generator": {"processors": ["nonsense"]}}, "metrics_generator.processors.0"),
        ({"metrics_generator": 5}, "metrics_generator"),
        (
            {"metrics_generator": {"processor": {"span_metrics": {"histogram_buckets": [2, 1]}}}},
            "metrics_generator.processor.span_metrics.histogram_buckets: expected bounds in asc",
        ),
        (
            {"metrics_generator": {"processor": {"span_metrics": {"filter_policies": [{}]}}}},
            "filter_policies: [0]: expected include, include_any or exclude",
        ),
        (
            {"metrics_generator": {"processor": {"service_graphs": {"dimensions": ["client"]}}}},
            "dimensions: the label client is one of every edge already",
        ),
        ({"metrics_generator": {"native_histogram_bucket_factor": 0.5}}, "expected more than 1"),
    ],
)
def test_what_is_wrong_is_named(limits: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_limits(limits)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        # The examples of RFC 7386, appendix A, as far as the whole is an object.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_patches_merge_as_the_rfc_says(target: object, patch: object, result: object) -> None:
    assert merge_patch(target, patch) == result


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"5", b"{", b"\xff", b'{"a": NaN}', b'{"a":' * 40 + b"1" + b"}" * 40]
)
def test_what_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse_json(content)
