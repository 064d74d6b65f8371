"""Counters and timings, their names in one place; served by prometheus_client when a port is set."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, start_http_server

ROUTES_WRITTEN = Counter(
    "felix_py_routes_written_total", "Kernel route changes", ["owner", "change"]
)
ROUTES_REFUSED = Counter("felix_py_routes_refused_total", "Kernel route changes refused", ["owner"])
APPLY_SECONDS = Histogram("felix_py_apply_seconds", "One round of the reconciling loop", ["daemon"])
INVALID_OBJECTS = Gauge(
    "felix_py_invalid_objects", "Objects in etcd that count as absent", ["daemon"]
)
STORE_RELISTS = Counter("felix_py_store_relists_total", "Lists after a lost watch", ["reason"])
STORE_FROZEN = Gauge(
    "felix_py_store_frozen", "1 while the store is believed to have gone back", ["daemon"]
)
IPAM_TRANSACTIONS = Counter(
    "felix_py_ipam_transactions_total", "etcd transactions of IPAM", ["outcome"]
)
CNI_REQUESTS = Counter("felix_py_cni_requests_total", "CNI requests answered", ["command", "code"])
CNI_SECONDS = Histogram(
    "felix_py_cni_seconds",
    "Time of a CNI request in the server",
    ["command"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 90),
)
TUNNEL_UP = Gauge("felix_py_tunnel_up", "1 while a tunnel device stands as wanted", ["device"])
TUNNEL_FAULT = Gauge(
    "felix_py_tunnel_fault", "1 while a tunnel device cannot stand", ["device", "reason"]
)
BGP_SESSIONS = Gauge("felix_py_bgp_sessions", "BGP sessions by state", ["state"])
BGP_PATHS = Gauge("felix_py_bgp_paths", "Received paths", ["peer"])
BGP_REFUSED = Gauge(
    "felix_py_bgp_refused_paths", "Received paths that are not installed", ["reason"]
)


def serve(address: str, port: int) -> None:
    """Serve the metrics by HTTP; port 0 means no server."""
    if port:
        start_http_server(port, addr=address)
