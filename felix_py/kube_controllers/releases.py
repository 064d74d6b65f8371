"""Gives back what deleted nodes and vanished pods held: late, confirmed by a read, on no doubtful list."""

from __future__ import annotations

import structlog

from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import NodeName
from felix_py.kube_api.model import Ref, Resource
from felix_py.kube_api.port import KubeApi
from felix_py.kube_controllers.calc.absence import Absences, alarm
from felix_py.kube_controllers.calc.nodes import mirrored, of_kubernetes
from felix_py.kube_controllers.snapshot import Dirty, Snapshot, pod_of
from felix_py.runtime.errors import RefusedError, TransientError
from ipam.admin import remove_node
from ipam.gone import release_endpoint
from ipam.office import Office

AT_ONCE = 20
"""Releases in one round; the rest waits for the next, so that the loop goes on coming round."""

log = structlog.get_logger(__name__)


class Releases:
    """Owned by the loop's thread."""

    def __init__(
        self, api: KubeApi, office: Office, node_grace_seconds: float, quarantine_seconds: float
    ) -> None:
        self._api, self._office = api, office
        self._grace, self._quarantine = node_grace_seconds, quarantine_seconds
        self.nodes: Absences[str] = Absences()
        self.endpoints: Absences[ResourceKey] = Absences()
        self.alarms: tuple[str, ...] = ()

    def note(self, dirty: Dirty, snapshot: Snapshot, now: float) -> None:
        """What is missing, as far as it may have changed."""
        for name in dirty.nodes:
            stored = snapshot.nodes.get(name)
            ours = stored is not None and of_kubernetes(stored)
            self.nodes.note(name, now, missing=ours and name not in snapshot.kube_nodes)
        for key in dirty.endpoints:
            endpoint = snapshot.endpoints.get(key)
            missing = endpoint is not None and pod_of(key, endpoint.value) not in snapshot.pods
            self.endpoints.note(key, now, missing=missing)
        self._judge(snapshot)

    def step(self, snapshot: Snapshot, now: float) -> None:
        """Release what is due. Raises TransientError of either side; what was done stays done."""
        if self.alarms:
            return
        for name in list(self.nodes.due(now, self._grace))[:AT_ONCE]:
            self._release_node(name, snapshot, now)
        for key in list(self.endpoints.due(now, self._quarantine))[:AT_ONCE]:
            self._release_endpoint(key, snapshot, now)

    def _judge(self, snapshot: Snapshot) -> None:
        lost_nodes = [
            name
            for name in self.nodes
            if mirrored(snapshot.nodes[name]) and Ref(Resource.NODES, name) not in snapshot.deleted
        ]
        lost_pods = [
            key
            for key in self.endpoints
            if Ref(Resource.PODS, snapshot.endpoints[key].value.pod, key.namespace)
            not in snapshot.deleted
        ]
        known = sum(map(mirrored, snapshot.nodes.values()))
        found = (
            alarm("nodes", known, len(lost_nodes)),
            alarm("pods", len(snapshot.endpoints), len(lost_pods)),
        )
        alarms = tuple(text for text in found if text)
        if alarms != self.alarms:
            for text in alarms:
                log.error("nothing is released", reason=text)
            if not alarms:
                log.info("the lists are whole again")
        self.alarms = alarms

    def _release_node(self, name: str, snapshot: Snapshot, now: float) -> None:
        if any(pod.node == name and not pod.host_network for pod in snapshot.pods.values()):
            return  # Kubernetes takes the pods of a node that is gone away itself: then nobody lives there
        if self._api.get(Ref(Resource.NODES, name)) is not None:
            log.warning("a node that a list lacked is there", node=name)
            self.nodes.begin_again(name, now)
            return
        try:
            remove_node(self._office, NodeName(name))
            log.warning("node is gone, what it held was given back", node=name)
        except (RefusedError, TransientError) as error:
            log.warning("a node that is gone keeps what it holds", node=name, reason=str(error))
            self.nodes.begin_again(name, now)

    def _release_endpoint(self, key: ResourceKey, snapshot: Snapshot, now: float) -> None:
        endpoint = snapshot.endpoints[key]
        namespace, pod = pod_of(key, endpoint.value)
        if self._api.get(Ref(Resource.PODS, pod, namespace)) is not None:
            log.warning("a pod that a list lacked is there", pod=f"{namespace}/{pod}")
            self.endpoints.begin_again(key, now)
            return
        try:
            done = release_endpoint(self._office, key, endpoint)
        except RefusedError as error:
            log.warning("an endpoint without a pod stays", key=key.path, reason=str(error))
            done = False
        if done:
            log.warning("endpoint of a pod that is gone was given back", key=key.path)
        else:
            self.endpoints.begin_again(key, now)
