import pytest
from google.rpc.error_details_pb2 import RetryInfo

from tracestore.api.errors import INTERNAL_MESSAGE, refuse
from tracestore.errors import (
    CorruptionError,
    DeadlineError,
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
)
from tracestore.query.plan import MetricsMathError


@pytest.mark.parametrize(
    ("error", "http_status", "otlp_http_status", "grpc_code"),
    [
        (InvalidRequestError("x"), 400, 400, 3),
        (TooLargeError("x"), 413, 413, 3),
        (NotFoundError("x"), 404, 500, 5),
        (LimitExceededError("x", limit="l"), 429, 429, 8),
        (UnavailableError("x"), 503, 503, 14),
        (DeadlineError("x"), 504, 503, 4),
        (CorruptionError("x", key="k"), 500, 503, 15),
        (MetricsMathError(), 500, 404, 12),
        (ValueError("x"), 500, 500, 13),
    ],
)
def test_each_class_has_its_status(
    error: Exception, http_status: int, otlp_http_status: int, grpc_code: int
) -> None:
    refusal = refuse(error)

    assert (refusal.http_status, refusal.otlp_http_status, refusal.grpc_code) == (
        http_status,
        otlp_http_status,
        grpc_code,
    )


def test_what_should_be_tried_again_says_when() -> None:
    (detail,) = refuse(UnavailableError("x", retry_after_s=2.5)).to_status().details

    info = RetryInfo.FromString(detail.value)
    assert detail.type_url == "type.googleapis.com/google.rpc.RetryInfo"
    assert (info.retry_delay.seconds, info.retry_delay.nanos) == (2, 500_000_000)
    assert refuse(UnavailableError("x", retry_after_s=2.5)).retry_after_header == "3"


def test_a_limit_without_a_delay_takes_the_one_of_the_settings() -> None:
    error = LimitExceededError("x", limit="l")

    assert refuse(error, retry_after_s=5.0).retry_after_s == 5.0
    assert not refuse(error).to_status().details


def test_a_mistake_of_ours_tells_nothing_of_itself() -> None:
    assert refuse(ValueError("secret")).message == INTERNAL_MESSAGE


def test_a_query_out_of_time_is_told_so_in_tempos_words() -> None:
    assert refuse(DeadlineError("anything")).message == "context deadline exceeded"
