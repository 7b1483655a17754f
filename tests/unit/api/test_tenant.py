import pytest

from tracestore.api.tenant import Tenancy, values_of
from tracestore.errors import InvalidRequestError, NoTenantError

ON = Tenancy(enabled=True)


@pytest.mark.parametrize("values", [[], ["a"], ["a|b"], ["../x"], ["a", "b"], [""]])
def test_without_tenants_the_header_is_not_looked_at(values: list[str]) -> None:
    org = Tenancy(enabled=False).org(values)

    assert org.for_reading() == ("single-tenant",)
    assert org.for_writing() == "single-tenant"


@pytest.mark.parametrize("values", [[], [""], ["a", "b"], ["a", "a"]])
def test_who_names_no_tenant_or_sends_two_headers_is_told_first(values: list[str]) -> None:
    with pytest.raises(NoTenantError, match=r"^no org id$"):
        ON.org(values)


@pytest.mark.parametrize(
    ("text", "tenants"),
    [
        ("a", ("a",)),
        ("b|a", ("a", "b")),
        ("b|a|b", ("a", "b")),
        ("Team-1.x_y!*'()", ("Team-1.x_y!*'()",)),
        ("...", ("...",)),
        ("a" * 150, ("a" * 150,)),
    ],
)
def test_readers_are_sorted_and_distinct(text: str, tenants: tuple[str, ...]) -> None:
    assert ON.org([text]).for_reading() == tenants


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a" * 151, "tenant ID is too long: max 150 characters"),
        ("a/b", "tenant ID 'a/b' contains unsupported character '/'"),
        ("../a", "tenant ID '../a' contains unsupported character '/'"),
        ("a\\b", "tenant ID 'a\\b' contains unsupported character '\\'"),
        ("a b", "tenant ID 'a b' contains unsupported character ' '"),
        ("a\x00", "tenant ID 'a\x00' contains unsupported character '\x00'"),
        ("é", "tenant ID 'é' contains unsupported character 'é'"),
        ("@quarantine", "tenant ID '@quarantine' contains unsupported character '@'"),
        ("a%2e%2e", "tenant ID 'a%2e%2e' contains unsupported character '%'"),
        ("team:key=value", "tenant ID 'team:key=value' contains unsupported character ':'"),
        (".", "tenant ID is '.' or '..'"),
        ("..", "tenant ID is '.' or '..'"),
        ("a|..", "tenant ID is '.' or '..'"),
        ("a|", "no org id"),
        ("|", "no org id"),
    ],
)
def test_bad_names_are_refused_for_reading_and_writing(text: str, message: str) -> None:
    org = ON.org([text])

    for use in (org.for_reading, org.for_writing):
        with pytest.raises(InvalidRequestError) as caught:
            use()
        assert str(caught.value) == message


def test_spans_belong_to_one_tenant() -> None:
    assert ON.org(["a|a"]).for_writing() == "a"
    with pytest.raises(InvalidRequestError, match=r"^multiple org IDs present$"):
        ON.org(["a|b"]).for_writing()


def test_reading_of_several_can_be_off() -> None:
    tenancy = Tenancy(enabled=True, several=False)

    assert tenancy.org(["a"]).for_reading() == ("a",)
    with pytest.raises(InvalidRequestError, match=r"^multi-tenant query unsupported$"):
        tenancy.org(["a|b"]).for_reading()


def test_the_tenants_of_a_query_are_bounded() -> None:
    names = [f"t{number}" for number in range(3)]

    assert len(Tenancy(enabled=True, tenants_max=3).org(["|".join(names)]).for_reading()) == 3
    with pytest.raises(InvalidRequestError, match="names 3 tenants, the limit is 2"):
        Tenancy(enabled=True, tenants_max=2).org(["|".join(names)]).for_reading()


def test_metadata_of_other_keys_is_passed_over() -> None:
    metadata = (("user-agent", "x"), ("x-scope-orgid", "a"), ("x-bin", b"\x00"))

    assert values_of(metadata) == ["a"]
    assert ON.org_of_metadata(metadata).for_writing() == "a"
    assert values_of(None) == []
