import pytest

from traceql import QueryError
from tracestore.client.tags import TagRequest, read_names, read_values, tag_text
from tracestore.errors import InvalidRequestError, UnavailableError

NOW_NS = 1_700_000_000 * 10**9


def test_a_request_becomes_parameters() -> None:
    request = TagRequest(query="{ status = error }", scope="span", last="1h", limit=3)

    assert request.parameters(now_ns=NOW_NS) == {
        "q": "{ status = error }",
        "scope": "span",
        "start": "1699996400",
        "end": "1700000000",
        "limit": "3",
    }
    assert TagRequest(query="{ }").parameters(now_ns=NOW_NS) == {}


@pytest.mark.parametrize("query", ["{ status = }", "{ status = error", "{ statsu = error }"])
def test_half_a_query_is_a_mistake_here(query: str) -> None:
    with pytest.raises(QueryError):
        TagRequest(query=query).parameters(now_ns=NOW_NS)


@pytest.mark.parametrize(
    "query", ["{} >> {}", "{ span.flag }", "{ kind = server } && { name = `a` }"]
)
def test_what_would_be_no_filter_is_a_mistake_here(query: str) -> None:
    with pytest.raises(InvalidRequestError, match="one filter that compares"):
        TagRequest(query=query).parameters(now_ns=NOW_NS)


def test_an_unknown_scope_is_a_mistake() -> None:
    with pytest.raises(InvalidRequestError, match=r"scope: expected resource, .*, got 'spam'"):
        TagRequest(scope="spam").parameters(now_ns=NOW_NS)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("resource.service.name", "resource.service.name"),
        ("service.name", ".service.name"),
        ("name", "name"),
        ("span:name", "name"),
        ('span."a b"', 'span."a b"'),
    ],
)
def test_a_tag_may_leave_out_its_scope(text: str, tag: str) -> None:
    assert tag_text(text) == tag


def test_what_is_no_tag_is_a_mistake() -> None:
    with pytest.raises(QueryError, match="col 4"):
        tag_text("a b")


def test_answers_are_read() -> None:
    names = b'{"scopes":[{"name":"span","tags":["a"]},{"name":"link"}],"metrics":{}}'
    values = b'{"tagValues":[{"type":"string"},{"type":"int","value":"1"}]}'

    assert read_names(names, source="x") == {"span": ["a"], "link": []}
    assert read_values(values, source="x") == [("string", ""), ("int", "1")]
    assert read_values(b"{}", source="x") == []


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"scopes":1}', b'{"scopes":[1]}'])
def test_another_answer_is_refused(content: bytes) -> None:
    with pytest.raises(UnavailableError, match="http://x answers with something else"):
        read_names(content, source="http://x")
