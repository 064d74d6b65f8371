"""The authority and what it signs: when a certificate still serves, and that Secrets are made once."""

from __future__ import annotations

import pytest

from felix_py.install import certificates
from felix_py.install.kept_secrets import ADMIN, AUTHORITY, CLIENTS, SERVER, Member, Vault
from tests.support.kube_documents import MemoryDocuments

MEMBER = Member("cp", "10.0.0.1")


def test_a_certificate_serves_for_its_names_by_its_authority() -> None:
    ours, other = certificates.authority("ours"), certificates.authority("other")
    server = certificates.signed(ours, "server", ("10.0.0.1", "etcd.example")).certificate
    assert certificates.serves(server, ours.certificate, ("10.0.0.1", "etcd.example"))
    assert not certificates.serves(server, ours.certificate, ("10.0.0.2",))
    assert not certificates.serves(server, other.certificate, ())
    assert not certificates.serves(b"", ours.certificate, ())


@pytest.fixture
def api() -> MemoryDocuments:
    return MemoryDocuments()


def test_secrets_are_made_once_and_a_lost_one_is_made_again(api: MemoryDocuments) -> None:
    vault = Vault(api, "felix-py")
    vault.provide(("10.96.232.136",), [MEMBER])
    assert len(api.writes) == 2 + len(CLIENTS)
    vault.provide(("10.96.232.136",), [MEMBER])
    assert len(api.writes) == 2 + len(CLIENTS)
    authority = vault.read(AUTHORITY)
    del api.held[f"/api/v1/namespaces/felix-py/secrets/{ADMIN}"]
    vault.provide(("10.96.232.136",), [MEMBER])
    admin = vault.read(ADMIN)
    assert vault.read(AUTHORITY) == authority
    assert certificates.serves(admin["tls.crt"], authority["tls.crt"], ())


def test_a_new_address_of_etcd_renews_the_servers_certificate_alone(api: MemoryDocuments) -> None:
    vault = Vault(api, "felix-py")
    vault.provide(("10.96.232.136",), [MEMBER])
    before = {name: vault.read(name) for name in (SERVER, ADMIN)}
    vault.provide(("10.100.0.9",), [MEMBER])
    assert vault.read(ADMIN) == before[ADMIN]
    assert vault.read(SERVER)["tls.crt"] != before[SERVER]["tls.crt"]
    assert certificates.serves(
        vault.read(SERVER)["tls.crt"], vault.read(AUTHORITY)["tls.crt"], ("10.100.0.9", "10.0.0.1")
    )
