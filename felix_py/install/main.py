"""felix-py-install: the Job. Steps in their order, each of which does only what is missing."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import structlog

from felix_py.ctl.init import create_missing
from felix_py.datastore import credentials
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.etcd_users import READ, WRITE, EtcdUsers
from felix_py.install import placement
from felix_py.install.api import Api, HttpApi
from felix_py.install.configuration import Configuration, parse
from felix_py.install.errors import NotYet
from felix_py.install.kept_secrets import CLIENTS, Vault
from felix_py.install.roles import ROLES, ROOT
from felix_py.install.seeding import SEEDED, seed
from felix_py.install.settings import Settings
from felix_py.kube_api import access
from felix_py.kube_api.settings import KubernetesSettings
from felix_py.runtime import logs
from felix_py.runtime.errors import FelixPyError, TransientError
from felix_py.runtime.settings import load, parse_arguments
from felix_py.runtime.supervisor import stop_on_signals

log = structlog.get_logger(__name__)
T = TypeVar("T")

ABOUT = "felix-py-install: certificates, etcd's users and the first objects, from the ConfigMap."
RETRY_SECONDS = 2.0
SAY_SECONDS = 30.0
REFRESHED = "felix-py.io/certificates-at"
"""An annotation on our pods: kubelet looks at a pod's volumes when the pod changes, else each minute."""
CLUSTER_TYPE = "k8s,bgp"
TERMINATION_LOG = Path("/dev/termination-log")


def main() -> None:
    """The console script: 0, or 1 with one sentence, which `kubectl describe pod` shows, too."""
    stop = threading.Event()
    stop_on_signals(stop)
    try:
        settings = load(Settings, parse_arguments(Settings, sys.argv[1:], ABOUT), os.environ)
        logs.set_up("install", settings.log)
        Installation(settings, _api(settings.kubernetes), stop).run()
    except FelixPyError as error:
        sys.stderr.write(f"felix-py-install: {error}\n")
        _tell_kubelet(str(error))
        sys.exit(1)


def _api(settings: KubernetesSettings) -> HttpApi:
    """Raises NoAccess."""
    return HttpApi(access.find(settings, os.environ), settings.timeout_seconds)


class Installation:
    """All steps of one run."""

    def __init__(self, settings: Settings, api: Api, stop: threading.Event) -> None:
        self._settings, self._api, self._stop = settings, api, stop
        self._namespace = settings.install.namespace
        self._deadline = time.monotonic() + settings.install.wait_seconds

    def run(self) -> None:
        """Raises FelixPyError: what is wrong, in one sentence."""
        configuration = self._wait("the ConfigMap", self._configuration)
        if self._settings.install.etcd == "inside":
            self._wait("the API server", lambda: self._provide(configuration))
        self._await_files()
        self._wait("etcd", lambda: self._prepare(configuration))
        log.info("installed")

    def _configuration(self) -> Configuration:
        name = self._settings.install.config_map
        found = self._api.get(f"/api/v1/namespaces/{self._namespace}/configmaps/{name}")
        if found is None:
            raise NotYet(f"there is no ConfigMap {name} in the namespace {self._namespace}")
        return parse(found.get("data") or {}, f"ConfigMap {name}")

    def _provide(self, configuration: Configuration) -> None:
        """Secrets first, then the label by which etcd's pod comes to its node."""
        nodes = self._listed("/api/v1/nodes")
        source = f"ConfigMap {self._settings.install.config_map}"
        members = placement.choose(nodes, configuration.etcd_nodes, source)
        Vault(self._api, self._namespace).provide(configuration.etcd_names, members)
        for name in placement.unmarked(nodes, members):
            self._api.patch(
                f"/api/v1/nodes/{name}", {"metadata": {"labels": {placement.LABEL: ""}}}
            )
            log.info("etcd's node chosen", node=name)
        self._refresh_pods()

    def _refresh_pods(self) -> None:
        """Pods that were started before there were Secrets, this one among them, get them at once."""
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        stamp = {"metadata": {"annotations": {REFRESHED: f"{time.time():.0f}"}}}
        for pod in self._listed(f"{path}?labelSelector=app.kubernetes.io%2Fname%3Dfelix-py"):
            try:
                self._api.patch(f"{path}/{pod['metadata']['name']}", stamp)
            except FelixPyError as error:
                log.warning("a pod was not told of its Secret", reason=str(error))

    def _await_files(self) -> None:
        """Our own certificate, which the same Secret brings."""

        def look() -> None:
            absent = credentials.missing(self._settings.datastore)
            if absent:
                raise NotYet(f"{', '.join(absent)}: not there; does its Secret exist?")

        self._wait("the certificate of etcd's administrator", look)

    def _prepare(self, configuration: Configuration) -> None:
        store = EtcdStore.connect(self._settings.datastore)
        try:
            store.get(SEEDED)  # etcd answers at all, before anything is written
            if self._settings.install.etcd == "inside":
                self._have_users()
            for line in (*create_missing(store, CLUSTER_TYPE), *seed(store, configuration.seeds)):
                log.info(line)
        finally:
            store.close()

    def _have_users(self) -> None:
        users = EtcdUsers.connect(self._settings.datastore)
        try:
            users.have_root(ROOT)
            users.have_user(ROOT, ROOT)
            for user in CLIENTS.values():
                if user == ROOT:
                    continue
                grants = ROLES[user]
                users.have_role(
                    user,
                    [(WRITE if one.write else READ, one.key, not one.exact) for one in grants],
                )
                users.have_user(user, user)
            users.enable()
        finally:
            users.close()

    def _listed(self, path: str) -> list[dict[str, Any]]:
        found = self._api.get(path)
        return [] if found is None else list(found.get("items") or ())

    def _wait(self, what: str, step: Callable[[], T]) -> T:
        """Repeat a step while what it needs is away. Raises TransientError when the time is up."""
        said = float("-inf")
        while True:
            try:
                return step()
            except TransientError as error:
                now = time.monotonic()
                if now > self._deadline or self._stop.is_set():
                    raise
                if now - said >= SAY_SECONDS:
                    said = now
                    log.warning("waiting", what=what, reason=str(error))
            if self._stop.wait(RETRY_SECONDS):
                raise NotYet(f"asked to stop while waiting for {what}")


def _tell_kubelet(problem: str) -> None:
    try:
        TERMINATION_LOG.write_text(problem, "utf-8")
    except OSError:
        return
