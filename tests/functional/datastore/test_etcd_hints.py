"""What an administrator reads when etcd cannot be reached says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from felix_py.datastore.errors import StoreAway
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.settings import DatastoreSettings
from tests.support.certificates import Certificates, make_certificates
from tests.support.etcd import EtcdServer

Change = dict[str, object]


@pytest.fixture(scope="module")
def server() -> Iterator[EtcdServer]:
    with EtcdServer(tls=True) as running:
        yield running


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(Path(tmp_path_factory.mktemp("other")))


def told(settings: DatastoreSettings) -> str:
    store = EtcdStore.connect(settings)
    try:
        with pytest.raises(StoreAway) as caught:
            store.get("/x")
    finally:
        store.close()
    return str(caught.value)


def changed(server: EtcdServer, **change: object) -> DatastoreSettings:
    return msgspec.structs.replace(server.settings, timeout_seconds=3.0, **change)


def test_another_authority(server: EtcdServer, other: Certificates) -> None:
    assert "datastore.caCertFile" in told(changed(server, ca_cert_file=str(other.ca)))


def test_a_client_certificate_that_etcd_does_not_know(
    server: EtcdServer, other: Certificates
) -> None:
    files = {"cert_file": str(other.client_cert), "key_file": str(other.client_key)}
    assert "etcd refuses our certificate" in told(changed(server, **files))


def test_no_client_certificate(server: EtcdServer) -> None:
    assert "etcd refuses our certificate" in told(changed(server, cert_file="", key_file=""))


def test_a_key_that_is_another_certificates(server: EtcdServer, other: Certificates) -> None:
    assert "the key the certificate's" in told(changed(server, key_file=str(other.client_key)))


def test_a_name_that_nobody_resolves(server: EtcdServer) -> None:
    assert "write etcd's address" in told(changed(server, endpoints=["https://etcd.invalid:2379"]))


def test_plain_http_where_etcd_speaks_tls(server: EtcdServer) -> None:
    endpoint = server.endpoint.replace("https", "http")
    assert "write https://" in told(changed(server, endpoints=[endpoint]))


def test_https_where_etcd_speaks_without(server: EtcdServer) -> None:
    with EtcdServer() as plain:
        endpoint = plain.endpoint.replace("http", "https")
        assert "write http://" in told(changed(server, endpoints=[endpoint]))


def test_nobody_there(server: EtcdServer) -> None:
    assert "is etcd running" in told(changed(server, endpoints=["https://127.0.0.1:1"]))
