import pytest
from support.contracts import ObjectStoreContract
from support.s3 import S3Place, s3, s3_server  # noqa: F401 - fixtures

from tracestore.storage.objects.s3 import S3ObjectStore


class TestS3ObjectStore(ObjectStoreContract):
    races = 3
    """The server here lets those who wait for one another sleep whole seconds."""

    @pytest.fixture
    def store(self, s3: S3Place) -> S3ObjectStore:  # noqa: F811 - the fixture
        return s3.store()


class TestS3ObjectStoreInParts(ObjectStoreContract):
    races = 1

    @pytest.fixture
    def store(self, s3: S3Place) -> S3ObjectStore:  # noqa: F811 - the fixture
        return s3.store(part_bytes=5 << 20, read_bytes_max=100_000, read_gap_bytes=0)
