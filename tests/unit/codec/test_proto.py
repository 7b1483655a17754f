"""Our .proto file says what the wire contract says."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from support.tempopb import CATALOGUE, METHODS, message

from tracestore.codec.proto import tempopb_common_pb2, tempopb_pb2

NAMES = [line.partition(":")[0] for line in CATALOGUE.strip().splitlines()]
OURS = [name for name in NAMES if name != "Timestamp"]


def fields(descriptor: Descriptor) -> dict[str, tuple[object, ...]]:
    return {field.name: shape(field) for field in descriptor.fields}


def shape(field: FieldDescriptor) -> tuple[object, ...]:
    of = field.message_type
    if of is not None and of.GetOptions().map_entry:
        return field.number, "map", fields(of)
    kind = FieldDescriptor.TYPE_INT32 if field.enum_type is not None else field.type
    return field.number, kind, field.is_repeated, None if of is None else of.name


@pytest.mark.parametrize("name", OURS)
def test_a_message_has_the_fields_of_the_contract(name: str) -> None:
    module = tempopb_pb2 if hasattr(tempopb_pb2, name) else tempopb_common_pb2
    ours = fields(getattr(module, name).DESCRIPTOR)
    if name == "AnyValue":
        ours = {key: ours[key] for key in ours if key not in ("kvlist_value", "bytes_value")}

    assert ours == fields(message(name).DESCRIPTOR)


def test_the_service_has_the_methods_of_the_contract() -> None:
    service = tempopb_pb2.DESCRIPTOR.services_by_name["StreamingQuerier"]

    assert service.full_name == "tempopb.StreamingQuerier"
    assert {
        one.name: (one.input_type.name, one.output_type.name)
        for one in service.methods
        if one.server_streaming and not one.client_streaming
    } == METHODS
