"""``/api/overrides`` and the pages that show limits, as the wire contract has them."""

import re
import time
from collections.abc import Iterator

import httpx
import pytest
from support.otlp import EPOCH_NS, request, span
from support.server import Server, running_server

FILE = """
overrides:
  fixed:
    ingestion: {rate_limit_bytes: 7}
    metrics_generator: {processors: [service-graphs], remote_write_headers: {X: secret}}
  "*":
    read: {max_search_duration: 36h}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("overrides")
    (directory / "o.yaml").write_text(FILE)
    flags = (
        "-multitenancy.enabled",
        f"--overrides.per-tenant-override-config={directory / 'o.yaml'}",
        "--overrides.user-configurable-overrides.enabled=true",
        f"--metrics-generator.storage.path={directory / 'generator'}",
        "--overrides.user-configurable-overrides.api.check-for-conflicting-runtime-overrides=true",
    )
    with running_server(directory / "store", *flags) as server:
        yield server


def ask(
    server: Server, method: str, tenant: str, body: object = None, **headers: str
) -> httpx.Response:
    params = {"scope": headers.pop("scope", "")}
    if "skip" in headers:
        params["skip-conflicting-overrides-check"] = headers.pop("skip")
    sent = {"X-Scope-OrgID": tenant} | {k.replace("_", "-"): v for k, v in headers.items()}
    return httpx.request(
        method, f"{server.api_url}/api/overrides", json=body, params=params, headers=sent
    )


def test_a_life_of_overrides(server: Server) -> None:
    body = {"metrics_generator": {"processors": ["span-metrics"], "collection_interval": "30s"}}

    assert ask(server, "POST", "a", body).status_code == 428
    assert ask(server, "POST", "a", body).text == "must specify If-Match header"
    created = ask(server, "POST", "a", body, If_Match="0")
    assert (created.status_code, created.content) == (200, b"")
    read = ask(server, "GET", "a")
    assert (read.status_code, read.json()) == (200, body)
    assert read.headers["etag"] == created.headers["etag"]
    assert read.headers["content-type"] == "application/json"
    again = ask(server, "POST", "a", body, If_Match="0")
    assert (again.status_code, again.text) == (412, "version does not match")
    patch = {"forwarders": [], "metrics_generator": {"collection_interval": None}}
    patched = ask(server, "PATCH", "a", patch)
    assert patched.json() == {
        "forwarders": [],
        "metrics_generator": {"processors": ["span-metrics"]},
    }
    assert patched.headers["etag"] != created.headers["etag"]
    page = httpx.get(f"{server.api_url}/status/overrides/a").text
    assert page.startswith("# a: the block *, and what it has set itself\n")
    assert "\nmetrics_generator:\n  processors: [span-metrics]\n" in page
    replaced = ask(server, "POST", "a", {}, If_Match=patched.headers["etag"])
    assert ask(server, "GET", "a").json() == {}
    assert ask(server, "DELETE", "a").status_code == 428
    assert ask(server, "DELETE", "a", If_Match="x").status_code == 412
    gone = ask(server, "DELETE", "a", If_Match=replaced.headers["etag"])
    assert (gone.status_code, gone.content) == (200, b"")
    for scope in ("api", "merged"):
        missing = ask(server, "GET", "a", scope=scope)
        assert (missing.status_code, missing.content) == (404, b"")
    assert ask(server, "DELETE", "a", If_Match="x").status_code == 404


def test_what_a_tenant_sets_has_an_effect_at_once(server: Server) -> None:
    def counted() -> str:
        headers = {"X-Scope-OrgID": "maker"}
        return httpx.get(f"{server.api_url}/metrics/generated", headers=headers).text

    def send(number: int) -> None:
        now_ms = (time.time_ns() - EPOCH_NS) / 1e6
        body = request(
            resource={"service.name": "shop"},
            spans=[span(trace=number, id=number, name="pay", start_ms=now_ms)],
        )
        headers = {"Content-Type": "application/x-protobuf", "X-Scope-OrgID": "maker"}
        httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers)
        server.wait_until_decoded()

    send(1)
    assert counted() == ""
    settings = {"processors": ["span-metrics-count"], "processor": {"span_metrics": {}}}
    assert ask(server, "PATCH", "maker", {"metrics_generator": settings}).status_code == 200
    send(2)
    (sample,) = re.findall(r"^traces_spanmetrics_calls_total{.*$", counted(), re.M)
    assert sample.endswith(" 1")
    wrong = {"processor": {"span_metrics": {"histogram_buckets": [2, 1]}}}
    refused = ask(server, "PATCH", "maker", {"metrics_generator": wrong})
    assert (refused.status_code, "ascending order" in refused.text) == (400, True)


def test_nobody_sees_or_changes_what_is_of_another(server: Server) -> None:
    made = ask(server, "POST", "mine", {"forwarders": ["m"]}, If_Match="0")

    assert ask(server, "GET", "other").status_code == 404
    assert ask(server, "DELETE", "other", If_Match=made.headers["etag"]).status_code == 404
    assert ask(server, "GET", "../mine").status_code == 400
    several = ask(server, "GET", "mine|other")
    assert (several.status_code, several.text) == (400, "multiple org IDs present")
    nobody = httpx.get(f"{server.api_url}/api/overrides")
    assert (nobody.status_code, nobody.text) == (401, "no org id\n")
    assert ask(server, "GET", "mine").json() == {"forwarders": ["m"]}


def test_the_file_and_what_the_tenant_sets_are_shown_merged(server: Server) -> None:
    body = {"metrics_generator": {"disable_collection": True}}
    conflict = ask(server, "POST", "fixed", body, If_Match="0")
    made = ask(server, "POST", "fixed", body, If_Match="0", skip="true")

    assert conflict.status_code == 400
    assert conflict.text.startswith("tenant has conflicting overrides set in runtime config")
    assert made.status_code == 200
    assert ask(server, "GET", "fixed", scope="merged").json() == {
        "metrics_generator": {
            "processors": ["service-graphs"],
            "remote_write_headers": {"X": "********"},
            "disable_collection": True,
        }
    }


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("GET", {"scope": "x"}, 'unknown scope "x", valid options are api and merged'),
        ("POST", {"skip": "perhaps", "If_Match": "0"}, "could not parse skip-conflicting"),
        ("POST", {"If_Match": "0", "body": {"nonsense": 1}}, 'json: unknown field "nonsense"'),
        ("POST", {"If_Match": "0", "body": []}, "the body must be a JSON object"),
        ("PATCH", {"body": {"forwarders": 5}}, "forwarders: Input should be a valid list"),
    ],
)
def test_mistakes_are_400(
    server: Server, method: str, options: dict[str, object], words: str
) -> None:
    body = options.pop("body", {})
    reply = ask(server, method, "b", body, **options)  # type: ignore[arg-type]

    assert reply.status_code == 400
    assert reply.text.startswith(words)


def test_other_methods_and_large_bodies_are_refused(server: Server) -> None:
    assert ask(server, "PUT", "a", {}).status_code == 405
    large = {"forwarders": ["x" * (1 << 20)]}
    assert ask(server, "POST", "a", large, If_Match="0").status_code == 413


def test_pages_show_the_limits_of_tenants(server: Server) -> None:
    def page(path: str) -> str:
        reply = httpx.get(f"{server.api_url}{path}")
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        return reply.text

    assert "\nfixed\n" in page("/status/overrides")
    assert "rate_limit_bytes: 7\n" in page("/status/overrides/fixed")
    assert "max_search_duration_s: 129600.0\n" in page("/status/overrides/any.body")
    assert "remote_write_headers:\n        X: '********'" in page("/status/runtime_config")
    assert "rate_limit_bytes: 7" in page("/status/runtime_config?mode=diff")
    assert "GET /status/runtime_config\noverrides:\n  fixed:\n" in page("/status")
    assert httpx.get(f"{server.api_url}/status/overrides/a b").status_code == 400


def test_it_is_off_by_default(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_server(tmp_path_factory.mktemp("off") / "store") as server:
        reply = ask(server, "GET", "a")
        page = httpx.get(f"{server.api_url}/status/runtime_config").text

    assert (reply.status_code, reply.text) == (404, "404 page not found\n")
    assert page == "overrides: {}\n"
