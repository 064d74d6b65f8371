"""The Job against a real etcd: certificates, users and what they may, first objects written once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from felix_py.datastore.errors import StoreRefused
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.settings import DatastoreSettings
from felix_py.datastore.store import Put, Transaction
from felix_py.install.errors import BadConfiguration, NotYet
from felix_py.install.kept_secrets import Vault
from felix_py.install.main import REFRESHED, Installation
from felix_py.install.placement import LABEL
from felix_py.install.settings import InstallSettings, Settings
from tests.support.certificates import Certificates
from tests.support.etcd import EtcdServer
from tests.support.kube_documents import MemoryDocuments

NAMESPACE = "/api/v1/namespaces/felix-py"
POOLS = "/calico/resources/v3/projectcalico.org/ippools/"
BGP = "/calico/resources/v3/projectcalico.org/bgpconfigurations/default"
CONFIG = {
    "etcd_endpoints": "https://127.0.0.1:12379",
    "pools": "- {name: first, cidr: 10.244.0.0/16}",
    "as_number": "64512",
}


class Cluster:
    """An API server with one control plane node, and an etcd that starts when its Secret is there."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.api, self.etcd = directory, MemoryDocuments(), EtcdServer()
        labels = {"node-role.kubernetes.io/control-plane": ""}
        addresses = [{"type": "InternalIP", "address": "10.0.0.1"}]
        self.api.held |= {
            "/api/v1/nodes/cp": {
                "metadata": {"name": "cp", "labels": labels},
                "status": {"addresses": addresses},
            },
            f"{NAMESPACE}/pods/felix": {"metadata": {"name": "felix"}},
            f"{NAMESPACE}/configmaps/felix-py-config": {"data": dict(CONFIG)},
        }

    @property
    def config(self) -> dict[str, str]:
        data: dict[str, str] = self.api.held[f"{NAMESPACE}/configmaps/felix-py-config"]["data"]
        return data

    def mount(self, secret: str) -> Path:
        """A Secret as files, as kubelet shows it."""
        place = self.directory / secret
        place.mkdir(exist_ok=True)
        for name, content in Vault(self.api, "felix-py").read(secret).items():
            (place / name).write_bytes(content)
        return place

    def settings_of(self, secret: str, wait: float = 30.0) -> Settings:
        place = self.directory / secret
        return Settings(
            install=InstallSettings(wait_seconds=wait),
            datastore=DatastoreSettings(
                endpoints=[f"https://127.0.0.1:{self.etcd.client_port}"],
                ca_cert_file=str(place / "ca.crt"),
                cert_file=str(place / "tls.crt"),
                key_file=str(place / "tls.key"),
            ),
        )

    def installation(self, wait: float = 30.0) -> Installation:
        settings = self.settings_of("felix-py-etcd-admin", wait)
        return Installation(settings, self.api, threading.Event())

    def start_etcd(self) -> None:
        """What kubelet and the DaemonSet do when node and Secrets are there."""
        server, admin = self.mount("felix-py-etcd-server"), self.mount("felix-py-etcd-admin")
        self.etcd.certificates = Certificates(
            server / "ca.crt", server / "tls.crt", server / "tls.key", admin / "tls.crt", admin / "tls.key"
        )  # fmt: skip
        self.etcd.start()

    def store(self, secret: str) -> EtcdStore:
        self.mount(secret)
        return EtcdStore.connect(self.settings_of(secret).datastore)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.etcd.remove()


@pytest.fixture
def installed(cluster: Cluster) -> Cluster:
    with pytest.raises(NotYet, match=r"keyFile .*tls\.key: not there; does its Secret exist"):
        cluster.installation(wait=0).run()
    cluster.start_etcd()
    cluster.installation().run()
    return cluster


def may_write(cluster: Cluster, secret: str, key: str) -> bool:
    store = cluster.store(secret)
    try:
        store.transact(Transaction((), (Put(key, b"{}"),)))
    except StoreRefused as error:
        return "permission denied" not in str(error)
    finally:
        store.close()
    return True


def test_first_start_chooses_the_node_makes_the_secrets_and_writes_the_first_objects(
    installed: Cluster,
) -> None:
    held = installed.api.held
    assert LABEL in held["/api/v1/nodes/cp"]["metadata"]["labels"]
    assert held[f"{NAMESPACE}/pods/felix"]["metadata"]["annotations"][REFRESHED]
    server = Vault(installed.api, "felix-py").read("felix-py-etcd-server")
    assert server["members"] == b"cp=https://10.0.0.1:12380"
    keys = installed.etcd.dump("/calico/resources/v3/")
    assert f"{POOLS}first" in keys
    assert json.loads(keys[BGP])["spec"]["asNumber"] == 64512
    assert "/calico/resources/v3/projectcalico.org/clusterinformations/default" in keys


@pytest.mark.parametrize(
    ("secret", "key", "allowed"),
    [
        ("node", "/calico/ipam/v2/assignment/ipv4/block/10.244.0.0-26", True),
        ("node", "/calico/ipam/v2/handle/x", True),
        ("node", "/calico/resources/v3/projectcalico.org/workloadendpoints/default/x", True),
        ("node", "/calico/resources/v3/projectcalico.org/nodes/cp", True),
        ("node", "/felix-py/v1/nodes/cp/session", True),
        ("node", f"{POOLS}mine", False),
        ("node", BGP, False),
        ("node", "/calico/ipam/v2/config", False),
        ("node", "/felix-py/v1/accepted", True),
        ("node", "/felix-py/v1/recovery/answers/cp", True),
        ("node", "/calico/resources/v3/projectcalico.org/clusterinformations/default", True),
        ("node", "/calico/resources/v3/projectcalico.org/clusterinformations/other", False),
        ("controllers", "/felix-py/v1/accepted", False),
        ("node", "/calico/resources/v3/projectcalico.org/profiles/kns.default", False),
        ("controllers", "/calico/resources/v3/projectcalico.org/profiles/kns.default", True),
        ("controllers", f"{POOLS}mine", False),
        ("admin", f"{POOLS}mine", True),
    ],
)
def test_who_may_write_what_follows_from_the_certificate(
    installed_once: Cluster, secret: str, key: str, *, allowed: bool
) -> None:
    assert may_write(installed_once, f"felix-py-etcd-{secret}", key) is allowed


@pytest.fixture(scope="module")
def installed_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("installed"))
    with pytest.raises(NotYet):
        made.installation(wait=0).run()
    made.start_etcd()
    made.installation().run()
    yield made
    made.etcd.remove()


def test_without_a_certificate_nobody_is_answered(installed_once: Cluster) -> None:
    settings = installed_once.settings_of("felix-py-etcd-node").datastore
    installed_once.mount("felix-py-etcd-node")
    without = DatastoreSettings(
        endpoints=settings.endpoints, ca_cert_file=settings.ca_cert_file, timeout_seconds=2
    )
    store = EtcdStore.connect(without)
    with pytest.raises(Exception, match="unavailable"):
        store.get("/calico/ipam/v2/config")
    store.close()


def test_a_second_run_changes_nothing_and_gives_back_nothing_that_an_operator_took(
    installed: Cluster,
) -> None:
    admin = installed.store("felix-py-etcd-admin")
    admin.transact(Transaction((), (Put(BGP, b'{"edited": true}'),)))
    admin.close()
    installed.etcd.ctl("del", f"{POOLS}first")
    installed.config["as_number"] = "65000"
    installed.config["pools"] = yaml.safe_dump(
        [{"name": "first", "cidr": "10.244.0.0/16"}, {"name": "second", "cidr": "10.245.0.0/16"}]
    )
    before = len(installed.api.writes)
    installed.installation().run()
    assert [path for path in installed.api.writes[before:] if "/secrets/" in path] == []
    keys = installed.etcd.dump("/calico/resources/v3/")
    assert json.loads(keys[BGP]) == {"edited": True}
    assert f"{POOLS}first" not in keys
    assert f"{POOLS}second" in keys


def test_a_bad_value_is_named_and_nothing_is_changed(installed: Cluster) -> None:
    before = installed.etcd.dump("/")
    installed.config["pools"] = "- {name: bad, cidr: 10.1.0.0/16, blockSize: 33}"
    writes = list(installed.api.writes)
    with pytest.raises(BadConfiguration, match=r"field pools: IPPool\(bad\): spec\.blockSize: 33"):
        installed.installation().run()
    assert installed.etcd.dump("/") == before
    assert installed.api.writes == writes


def test_an_api_server_that_is_away_is_waited_for(installed: Cluster) -> None:
    installed.api.away = True
    timer = threading.Timer(1.0, lambda: setattr(installed.api, "away", False))
    timer.start()
    installed.installation().run()
    timer.join()
