"""The resource kinds felixctl knows: how users name them, and the fields Calico v3.32 gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from felix_py.ctl.errors import CommandError
from felix_py.datastore.codec_documents import KIND_NAMES
from felix_py.datastore.keys import NAMESPACED
from felix_py.datastore.model import Kind

NODE_BGP_FIELDS = frozenset(
    {"asNumber", "ipv4Address", "ipv6Address", "ipv4IPIPTunnelAddr", "routeReflectorClusterID"}
)
"""`spec.bgp` of a Node."""


@dataclass(frozen=True, slots=True)
class KindInfo:
    """One kind: its word in a table of aliases, and the fields of its spec (reference: Calico's API)."""

    kind: Kind
    title: str
    aliases: frozenset[str]
    fields: frozenset[str]
    writable: bool = True

    @property
    def namespaced(self) -> bool:
        """True for kinds whose objects live in a namespace."""
        return self.kind in NAMESPACED


def _info(kind: Kind, short: str, fields: str, *, writable: bool = True) -> KindInfo:
    title = KIND_NAMES[kind]
    names = {title.lower(), kind.value, *short.split()}
    return KindInfo(kind, title, frozenset(names), frozenset(fields.split()), writable)


KINDS: tuple[KindInfo, ...] = (
    _info(
        Kind.IP_POOL,
        "pool pools ipp",
        "cidr vxlanMode ipipMode natOutgoing disabled disableBGPExport blockSize nodeSelector "
        "namespaceSelector allowedUses assignmentMode",
    ),
    _info(Kind.IP_RESERVATION, "reservation reservations ipr", "reservedCIDRs"),
    _info(
        Kind.BGP_CONFIGURATION,
        "bgpconfig bgpconfigs bgpc",
        "logSeverityScreen nodeToNodeMeshEnabled asNumber serviceClusterIPs serviceExternalIPs "
        "serviceLoadBalancerIPs serviceLoadBalancerAggregation listenPort bindMode "
        "ignoredInterfaces nodeMeshPassword nodeMeshMaxRestartTime communities "
        "prefixAdvertisements localWorkloadPeeringIPV4 localWorkloadPeeringIPV6 "
        "programClusterRoutes ipv4NormalRoutePriority ipv6NormalRoutePriority",
    ),
    _info(
        Kind.BGP_PEER,
        "peer peers bgpp",
        "node nodeSelector peerIP asNumber peerSelector localASNumber localWorkloadSelector "
        "keepOriginalNextHop nextHopMode password sourceAddress maxRestartTime keepaliveTime "
        "numAllowedLocalASNumbers ttlSecurity reachableBy filters reversePeering",
    ),
    _info(
        Kind.FELIX_CONFIGURATION,
        "felixconfig felixconfigs felixc",
        "allowIPIPPacketsFromWorkloads allowVXLANPacketsFromWorkloads bpfConnectTimeLoadBalancing "
        "bpfHostNetworkedNATWithoutCTLB bpfLogLevel chainInsertMode defaultEndpointToHostAction "
        "deviceRouteProtocol deviceRouteSourceAddress deviceRouteSourceAddressIPv6 "
        "disableConntrackInvalidCheck endpointReportingEnabled endpointReportingDelay "
        "endpointStatusPathPrefix externalNodesList failsafeInboundHostPorts "
        "failsafeOutboundHostPorts featureDetectOverride featureGates floatingIPs healthEnabled "
        "healthHost healthPort healthTimeoutOverrides dataplaneWatchdogTimeout interfaceExclude "
        "interfacePrefix interfaceRefreshInterval ipForwarding ipipEnabled ipipMTU ipv6Support "
        "ipsetsRefreshInterval iptablesBackend iptablesFilterAllowAction iptablesFilterDenyAction "
        "iptablesLockProbeInterval iptablesMangleAllowAction iptablesMarkMask "
        "iptablesNATOutgoingInterfaceFilter iptablesPostWriteCheckInterval iptablesRefreshInterval "
        "ipv4ElevatedRoutePriority ipv6ElevatedRoutePriority ipv4NormalRoutePriority "
        "ipv6NormalRoutePriority kubeNodePortRanges logActionRateLimit logActionRateLimitBurst "
        "logFilePath logPrefix logSeverityFile logSeverityScreen logSeveritySys maxIpsetSize "
        "mtuIfacePattern natOutgoingAddress natOutgoingExclusions natPortRange netlinkTimeout "
        "nftablesFilterAllowAction nftablesFilterDenyAction nftablesMangleAllowAction "
        "nftablesMarkMask nftablesMode nftablesRefreshInterval nodeSelector policySyncPathPrefix "
        "programClusterRoutes prometheusGoMetricsEnabled prometheusMetricsEnabled "
        "prometheusMetricsHost prometheusMetricsPort prometheusProcessMetricsEnabled "
        "prometheusWireGuardMetricsEnabled removeExternalRoutes reportingInterval reportingTTL "
        "requireMTUFile routeRefreshInterval routeSource routeSyncDisabled routeTableRanges "
        "serviceLoopPrevention usageReportingEnabled vxlanEnabled vxlanMTU vxlanMTUV6 vxlanPort "
        "vxlanVNI wireguardEnabled wireguardEnabledV6 wireguardHostEncryptionEnabled "
        "wireguardInterfaceName wireguardInterfaceNameV6 wireguardKeepAlive wireguardListeningPort "
        "wireguardListeningPortV6 wireguardMTU wireguardMTUV6 wireguardRoutingRulePriority "
        "workloadSourceSpoofing",
    ),
    _info(
        Kind.NODE,
        "no",
        "bgp ipv4VXLANTunnelAddr vxlanTunnelMACAddr ipv6VXLANTunnelAddr vxlanTunnelMACAddrV6 "
        "orchRefs wireguard addresses interfaces",
    ),
    _info(Kind.PROFILE, "pro", "ingress egress labelsToApply"),
    _info(
        Kind.WORKLOAD_ENDPOINT,
        "wep weps endpoint endpoints",
        "orchestrator workload node containerID pod endpoint serviceAccountName ipNetworks ipNATs "
        "ipv4Gateway ipv6Gateway profiles interfaceName mac ports allowSpoofedSourcePrefixes "
        "qosControls",
    ),
    _info(
        Kind.CLUSTER_INFORMATION,
        "clusterinfo",
        "clusterGUID clusterType calicoVersion datastoreReady variant",
        writable=False,
    ),
)

_BY_NAME: Mapping[str, KindInfo] = {alias: info for info in KINDS for alias in info.aliases}


def find(word: str) -> KindInfo:
    """The kind that a user means. Raises CommandError, listing the kinds."""
    info = _BY_NAME.get(word.lower())
    if info is None:
        known = ", ".join(info.title for info in KINDS)
        raise CommandError(f"{word!r} is not a kind felixctl knows; use one of: {known}")
    return info


def find_writable(word: str) -> KindInfo:
    """The same for a kind that may be written. Raises CommandError."""
    info = find(word)
    if not info.writable:
        raise CommandError(f"{info.title} is read only; `felixctl init` creates it")
    return info
