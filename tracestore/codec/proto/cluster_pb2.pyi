from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class HelloRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HelloReply(_message.Message):
    __slots__ = ("process", "instance", "address", "roles", "writer", "index_sequence", "ready", "draining", "version")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    INDEX_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    process: str
    instance: str
    address: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    writer: str
    index_sequence: int
    ready: bool
    draining: bool
    version: str
    def __init__(self, process: _Optional[str] = ..., instance: _Optional[str] = ..., address: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., writer: _Optional[str] = ..., index_sequence: _Optional[int] = ..., ready: bool = ..., draining: bool = ..., version: _Optional[str] = ...) -> None: ...

class OtlpTraces(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PushReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
