import pytest

from tracestore.errors import SettingsError
from tracestore.settings.limits import BUCKET_BYTES, IngestionLimits, TenantLimits
from tracestore.settings.overrides import Overrides, read_tenant_file
from tracestore.settings.render_overrides import render_file, render_limits

FILE = """
overrides:
  "team-a":
    ingestion: {rate_limit_bytes: 5000000, burst_size_bytes: 10000000}
    metrics_generator:
      processors: [service-graphs, span-metrics]
      remote_write_headers: {Authorization: Bearer x}
  team-b:
    max_bytes_per_trace: 77
    max_search_duration: 7d
    ingestion_rate_limit_bytes: 0
  empty:
  "*":
    read: {max_search_duration: 36h, left_pad_trace_ids: true}
"""
DEFAULTS = TenantLimits(
    ingestion=IngestionLimits(rate_limit_bytes=1, burst_size_bytes=2, max_traces_per_user=3)
)


def overrides(text: str, defaults: TenantLimits = DEFAULTS) -> Overrides:
    return Overrides.of(defaults, read_tenant_file(text, source="o.yaml"))


def test_a_block_replaces_the_defaults_whole_but_for_rate_and_burst() -> None:
    found = overrides(FILE)

    a, b = found.limits("team-a"), found.limits("team-b")
    assert a.ingestion == IngestionLimits(rate_limit_bytes=5_000_000, burst_size_bytes=10_000_000)
    assert b.ingestion == IngestionLimits(rate_limit_bytes=0, burst_size_bytes=2)
    assert (b.global_.max_bytes_per_trace, b.read.max_search_duration_s) == (77, 7 * 86400)
    assert found.limits("empty").ingestion.bucket == (1, 2)
    assert found.limits("empty").ingestion.max_traces_per_user == 0


def test_who_has_no_block_has_that_of_the_star_else_the_defaults() -> None:
    assert overrides(FILE).limits("other").read.max_search_duration_s == 36 * 3600
    assert overrides(FILE).limits("other").ingestion.traces_max == 0
    assert overrides("").limits("other") == DEFAULTS
    assert overrides("overrides:").limits("other") == DEFAULTS


def test_what_a_block_does_not_repeat_is_known() -> None:
    assert overrides(FILE).left_out() == {
        name: ["ingestion.max_traces_per_user"] for name in ("team-a", "team-b", "empty", "*")
    }
    assert overrides("overrides: {a: {ingestion: {max_traces_per_user: 0}}}").left_out() == {}


@pytest.mark.parametrize(
    ("limits", "bucket"),
    [
        (IngestionLimits(), None),
        (IngestionLimits(rate_limit_bytes=0), (0, BUCKET_BYTES)),
        (IngestionLimits(burst_size_bytes=7), (BUCKET_BYTES, 7)),
        (IngestionLimits(rate_limit_bytes=0, burst_size_bytes=0), (0, 0)),
    ],
)
def test_rate_and_burst_go_together(
    limits: IngestionLimits, bucket: tuple[int, int] | None
) -> None:
    assert limits.bucket == bucket


def test_of_two_bounds_of_live_traces_the_lower_holds() -> None:
    both = IngestionLimits(max_traces_per_user=5, max_global_traces_per_user=4)

    assert both.traces_max == 4
    assert IngestionLimits(max_global_traces_per_user=4).traces_max == 4
    assert IngestionLimits().traces_max == 0


def test_warnings_come_once() -> None:
    text = FILE + "  c: {metrics_generator: {ring_size: 1}, compaction: {block_retention: 1h}}\n"
    warnings = read_tenant_file(text, source="o.yaml").warnings

    assert [warning.partition(" ")[0] for warning in warnings] == ["o.yaml:9:", "o.yaml:15:"]
    assert "flat format" in warnings[0]
    assert "metrics_generator.ring_size has no effect" in warnings[1]


def test_rules_of_retention_are_a_mapping_or_a_list() -> None:
    rules = ("{status=error}: 90d", "{span.a=`x, y`}: 1h")
    outer = "overrides: {a: {compaction: {retention_rules: %s}}}"
    mapping = outer % "{'{status=error}': 90d, '{span.a=`x, y`}': 1h}"
    listed = outer % "['{status=error}: 90d', '{span.a=`x, y`}: 1h']"
    for text in (mapping, listed):
        block = read_tenant_file(text, source="o.yaml").blocks["a"]
        assert block.values["compaction.retention_rules"] == rules
    with pytest.raises(SettingsError, match="QUERY: DURATION"):
        read_tenant_file(mapping.replace("90d", "long"), source="o.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tenants: {}", "o.yaml:1: unknown key tenants; the nearest known one is overrides"),
        ("[]", "o.yaml:1: expected keys and values"),
        ("overrides: 5", "o.yaml:1: expected tenants and their limits"),
        ("overrides:\n  a: 5", "o.yaml:2: expected limits"),
        (
            "overrides:\n  a:\n    ingestion:\n      rate_limit_byte: 1",
            "o.yaml:4: unknown key overrides.defaults.ingestion.rate_limit_byte; the nearest",
        ),
        ("overrides:\n  a: {max_trace_per_user: 1}", "nearest known one is overrides.max_traces_"),
        ("overrides: {a: {ingestion: {rate_limit_bytes: lots}}}", "expected a size"),
        ("overrides: {a: {ingestion: [1]}}", "expected keys and values, got a list"),
        ("overrides: {a: {}, a: {}}", "a is given twice, first in line 1"),
        ("overrides: {a: {max_bytes_per_trace: 1, global: {max_bytes_per_trace: 2}}}", "contradic"),
        ("overrides: {a: {per_tenant_override_config: x}}", "is of the server, not of a tenant"),
        ("overrides: {a: {defaults: {}}}", "defaults is of the server, not of a tenant"),
        ("overrides: {a: {ingestion: {rate_limit_bytes: -1}}}", "expected"),
        ("overrides: {a: {read: {max_search_duration: 5}}}", "expected a duration with a unit"),
        ("overrides: {", "o.yaml:1: "),
    ],
)
def test_mistakes_are_one_line_with_the_place(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_tenant_file(text, source="o.yaml")

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_file_is_shown_without_secrets_and_with_what_differs() -> None:
    file = read_tenant_file(FILE, source="o.yaml")

    whole = render_file(file, DEFAULTS)
    assert "Bearer" not in whole
    assert "Authorization: '********'" in whole
    assert "processors:" in whole
    assert "rate_limit_bytes: 5000000" in whole
    same = read_tenant_file("overrides: {a: {ingestion: {rate_limit_bytes: 1}}}", source="o")
    assert render_file(same, DEFAULTS, diff=True) == "overrides:\n  a: {}\n"


def test_limits_are_shown_as_yaml() -> None:
    text = render_limits(DEFAULTS)

    assert text.startswith("ingestion:\n  rate_limit_bytes: 1\n  burst_size_bytes: 2\n")
    assert "\nglobal:\n  max_bytes_per_trace: 0\n" in text
