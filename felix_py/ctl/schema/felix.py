"""FelixConfiguration: Calico's fields in its order, each with its type. What felix serves is codec_felix's.

Reference: Calico v3.32.1 `api/pkg/apis/projectcalico/v3/felixconfig.go`, `felix/docs/config-params.json`.
"""

from __future__ import annotations

from collections.abc import Mapping

from felix_py.ctl.schema.scalars import NETWORK, SELECTOR, Duration, Port, expression
from felix_py.ctl.schema.shape import (
    Anything,
    Choice,
    Fields,
    Flag,
    Many,
    Number,
    Shape,
    Text,
    Words,
)
from felix_py.datastore import codec_fields as fields

_LEVELS = ("Trace", "Debug", "Info", "Warning", "Error", "Fatal", "None")
_PROTOCOL_PORT = Fields(
    {
        "protocol": Choice(("TCP", "UDP", "SCTP"), folded=True),
        "port": Number(0, 65535),
        "net": Text(),
    },
    required=("port",),
    always={"protocol": "", "net": ""},
)
_TIMERS = (
    *("creationGracePeriod", "tcpSynSent", "tcpEstablished", "tcpFinsSeen", "tcpResetSeen"),
    *("udpTimeout", "genericTimeout", "icmpTimeout"),
)
_RANGE = Fields({"min": Number(0), "max": Number(0)}, required=("min", "max"))
_TYPES: Mapping[str, Shape] = {
    "flag": Flag(),
    "number": Number(),
    "port": Number(0, 65535),
    "mask": Number(0, 2**32 - 1),
    "priority": Number(1, 2**31 - 2),
    "text": Text(),
    "address": Text(fields.address),
    "interface": Text(fields.interface_name),
    "regex": Text(expression),
    "selector": SELECTOR,
    "duration": Duration(),
    "level": Choice(_LEVELS, folded=True),
    "switch": Choice(("Enabled", "Disabled"), folded=True),
    "networks": Many(NETWORK, keeps_empty=True),
    "texts": Many(Text(), keeps_empty=True),
    "words": Words(),
    "ports": Port(named=False, lowest=0),
    "portranges": Many(Port(named=False), keeps_empty=True),
    "protoports": Many(_PROTOCOL_PORT, keeps_empty=True),
    "range": _RANGE,
    "ranges": Many(_RANGE, keeps_empty=True),
    "timeouts": Many(Fields({"name": Text(), "timeout": Duration()}, required=("name", "timeout"))),
    "timers": Fields({name: Text() for name in _TIMERS}),
    "object": Anything(),
}
_TABLE = """
nodeSelector selector
useInternalDataplaneDriver flag
dataplaneDriver text
dataplaneWatchdogTimeout duration
ipv6Support flag
routeRefreshInterval duration
interfaceRefreshInterval duration
iptablesRefreshInterval duration
iptablesPostWriteCheckInterval duration
iptablesLockFilePath text
iptablesLockTimeout duration
iptablesLockProbeInterval duration
featureDetectOverride text
featureGates text
ipsetsRefreshInterval duration
maxIpsetSize number
iptablesBackend Auto|Legacy|NFT
xdpRefreshInterval duration
netlinkTimeout duration
metadataAddr text
metadataPort port
openstackRegion text
interfacePrefix text
interfaceExclude text
chainInsertMode Insert|Append
defaultEndpointToHostAction Drop|Accept|Return
iptablesFilterAllowAction Accept|Return
iptablesMangleAllowAction Accept|Return
iptablesFilterDenyAction Drop|Reject
logPrefix text
logActionRateLimit text
logActionRateLimitBurst number
logFilePath text
logSeverityFile level
logSeverityScreen level
logSeveritySys level
logDebugFilenameRegex regex
ipipEnabled flag
ipipMTU number
vxlanEnabled flag
vxlanMTU number
vxlanMTUV6 number
vxlanPort port
vxlanVNI number
allowVXLANPacketsFromWorkloads flag
allowIPIPPacketsFromWorkloads flag
reportingInterval duration
reportingTTL duration
endpointReportingEnabled flag
endpointReportingDelay duration
endpointStatusPathPrefix text
iptablesMarkMask mask
disableConntrackInvalidCheck flag
healthEnabled flag
healthHost text
healthPort port
healthTimeoutOverrides timeouts
prometheusMetricsEnabled flag
prometheusMetricsHost text
prometheusMetricsPort port
prometheusGoMetricsEnabled flag
prometheusProcessMetricsEnabled flag
prometheusWireGuardMetricsEnabled flag
prometheusMetricsCAFile text
prometheusMetricsCertFile text
prometheusMetricsKeyFile text
prometheusMetricsClientAuth text
failsafeInboundHostPorts protoports
failsafeOutboundHostPorts protoports
kubeNodePortRanges portranges
policySyncPathPrefix text
usageReportingEnabled flag
usageReportingInitialDelay duration
usageReportingInterval duration
natPortRange ports
natOutgoingAddress address
natOutgoingExclusions IPPoolsOnly|IPPoolsAndHostIPs
deviceRouteSourceAddress address
deviceRouteSourceAddressIPv6 address
deviceRouteProtocol number
removeExternalRoutes flag
ipForwarding switch
programClusterRoutes switch
ipv4NormalRoutePriority priority
ipv6NormalRoutePriority priority
ipv4ElevatedRoutePriority priority
ipv6ElevatedRoutePriority priority
externalNodesList networks
debugMemoryProfilePath text
debugDisableLogDropping flag
debugSimulateCalcGraphHangAfter duration
debugSimulateDataplaneHangAfter duration
debugSimulateDataplaneApplyDelay duration
debugHost text
debugPort port
iptablesNATOutgoingInterfaceFilter text
sidecarAccelerationEnabled flag
xdpEnabled flag
genericXDPEnabled flag
nftablesMode Auto|Enabled|Disabled
nftablesRefreshInterval duration
nftablesFilterAllowAction Accept|Return
nftablesMangleAllowAction Accept|Return
nftablesFilterDenyAction Drop|Reject
nftablesMarkMask mask
bpfEnabled flag
bpfDisableUnprivileged flag
bpfLogLevel Off|Info|Debug
bpfConntrackLogLevel Off|Debug
bpfConntrackMode Auto|Userspace|BPFProgram
bpfConntrackTimeouts timers
bpfLogFilters words
bpfCTLBLogFilter text
bpfDataIfacePattern regex
bpfL3IfacePattern regex
bpfConnectTimeLoadBalancingEnabled flag
bpfConnectTimeLoadBalancing TCP|Enabled|Disabled
bpfHostNetworkedNATWithoutCTLB switch
bpfExternalServiceMode Tunnel|DSR
bpfDSROptoutCIDRs networks
bpfExtToServiceConnmark mask
bpfKubeProxyIptablesCleanupEnabled flag
bpfKubeProxyMinSyncPeriod duration
bpfKubeProxyHealthzPort port
bpfKubeProxyEndpointSlicesEnabled flag
bpfPSNATPorts ports
bpfMapSizeNATFrontend number
bpfMapSizeNATBackend number
bpfMapSizeNATAffinity number
bpfMapSizeRoute number
bpfMapSizeConntrack number
bpfMapSizePerCpuConntrack number
bpfMapSizeConntrackCleanupQueue number
bpfMapSizeConntrackScaling Disabled|DoubleIfFull
bpfMapSizeIPSets number
bpfMapSizeIfState number
bpfHostConntrackBypass flag
bpfEnforceRPF Disabled|Strict|Loose
bpfPolicyDebugEnabled flag
bpfForceTrackPacketsFromIfaces texts
bpfDisableGROForIfaces regex
bpfExcludeCIDRsFromNAT networks
bpfRedirectToPeer Enabled|Disabled|L2Only
bpfAttachType TC|TCX
bpfExportBufferSizeMB number
bpfJITHardening Auto|Strict
bpfProfiling switch
cgroupV2Path text
routeSource WorkloadIPs|CalicoIPAM
routeTableRanges ranges
routeTableRange range
routeSyncDisabled flag
wireguardEnabled flag
wireguardEnabledV6 flag
wireguardThreadingEnabled flag
wireguardListeningPort port
wireguardListeningPortV6 port
wireguardRoutingRulePriority number
wireguardInterfaceName interface
wireguardInterfaceNameV6 interface
wireguardMTU number
wireguardMTUV6 number
wireguardHostEncryptionEnabled flag
wireguardKeepAlive duration
awsSrcDstCheck DoNothing|Enable|Disable
serviceLoopPrevention Drop|Reject|Disabled
workloadSourceSpoofing Disabled|Any
mtuIfacePattern regex
requireMTUFile flag
floatingIPs switch
flowLogsFlushInterval duration
flowLogsCollectorDebugTrace flag
flowLogsGoldmaneServer text
flowLogsLocalReporter switch
flowLogsPolicyEvaluationMode None|Continuous
istioAmbientMode switch
istioDSCPMark object
windowsManageFirewallRules switch
goGCThreshold number
goMemoryLimitMB number
goMaxProcs number
"""


def _shape(word: str) -> Shape:
    return _TYPES.get(word) or Choice(tuple(word.split("|")), folded=True)


FELIX = Fields(
    {name: _shape(word) for name, word in (line.split() for line in _TABLE.split("\n") if line)},
    always={"bpfLogLevel": ""},
)
