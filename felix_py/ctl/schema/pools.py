"""Pools, reservations, nodes and the cluster: the tables; how fields hang together is the codecs'.

Reference: Calico v3.32.1 `api/pkg/apis/projectcalico/v3/{ippool,ipreservation,clusterinfo}.go`,
`libcalico-go/lib/apis/internalapi/node.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from felix_py.ctl.schema.scalars import (
    ADDRESS,
    MASKED_NETWORK,
    NETWORK,
    SELECTOR,
    AsNumber,
)
from felix_py.ctl.schema.shape import Choice, Fields, Flag, Many, Number, Text
from felix_py.datastore import codec_fields as fields
from felix_py.datastore.codec_fields import BadField


def _check_bgp(path: str, bgp: Mapping[str, Any]) -> None:
    if not bgp:
        raise BadField(path, "has no field; set one or leave it out")


_ENCAPSULATION = Choice(("Never", "CrossSubnet", "Always"))

POOL = Fields(
    {
        "cidr": MASKED_NETWORK,
        "vxlanMode": _ENCAPSULATION,
        "ipipMode": _ENCAPSULATION,
        "natOutgoing": Flag(omits_false=True),
        "disabled": Flag(omits_false=True),
        "disableBGPExport": Flag(omits_false=True),
        "blockSize": Number(20, 128, omits_zero=True),
        "nodeSelector": SELECTOR,
        "namespaceSelector": SELECTOR,
        "allowedUses": Many(Choice(("Workload", "Tunnel", "LoadBalancer"))),
        "assignmentMode": Choice(("Automatic", "Manual")),
    },
    required=("cidr",),
)
RESERVATION = Fields({"reservedCIDRs": Many(NETWORK)})
CLUSTER = Fields(
    {
        "clusterGUID": Text(),
        "clusterType": Text(),
        "calicoVersion": Text(),
        "datastoreReady": Flag(),
        "variant": Text(),
    }
)
NODE = Fields(
    {
        "bgp": Fields(
            {
                "asNumber": AsNumber(),
                "ipv4Address": Text(fields.interface_v4),
                "ipv6Address": Text(fields.interface_v6),
                "ipv4IPIPTunnelAddr": Text(fields.address_v4),
                "routeReflectorClusterID": Text(),
            },
            rule=_check_bgp,
        ),
        "ipv4VXLANTunnelAddr": Text(fields.address_v4),
        "vxlanTunnelMACAddr": Text(fields.mac),
        "ipv6VXLANTunnelAddr": Text(fields.address_v6),
        "vxlanTunnelMACAddrV6": Text(fields.mac),
        "orchRefs": Many(
            Fields({"nodeName": Text(), "orchestrator": Text()}, required=("orchestrator",))
        ),
        "wireguard": Fields(
            {
                "interfaceIPv4Address": Text(fields.address_v4),
                "interfaceIPv6Address": Text(fields.address_v6),
            }
        ),
        "addresses": Many(
            Fields(
                {
                    "address": NETWORK,
                    "type": Choice(("CalicoNodeIP", "InternalIP", "ExternalIP")),
                },
                required=("address",),
            )
        ),
        "interfaces": Many(Fields({"name": Text(), "addresses": Many(ADDRESS)})),
    }
)
