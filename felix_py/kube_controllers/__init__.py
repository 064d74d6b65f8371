"""What etcd must know of Kubernetes: labels of nodes and pods, profiles of namespaces and service accounts.

And what nodes and pods that are gone held is given back.

One process for the cluster, two for safety: the holder of a Lease writes (leader.py). Kubernetes API ->
reflectors -> state.py -> calc/ (pure) -> writes.py -> etcd, level-triggered like every daemon.

What it asks of the API server, each for one reason (manifests/base/rbac-controllers.yaml):
- nodes: get, list, watch. Labels go into our Node objects; a deleted node is confirmed by a get.
- nodes/status: patch. The conditions NetworkUnavailable and NetworkPolicyNotEnforced.
- pods: get, list, watch. Labels go into endpoints; a pod that is gone is confirmed by a get.
- namespaces, serviceaccounts: list, watch. Each becomes a profile.
- networkpolicies (networking.k8s.io): list, watch. Each is named, because it is not enforced.
- events: create, patch. A NetworkPolicy's own event says that it is not enforced.
- leases (coordination.k8s.io) in our namespace: create; get, update on felix-py-controllers.
"""
