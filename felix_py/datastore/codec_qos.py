"""WorkloadEndpoint.spec.qosControls: stored JSON to frozen values. 0 and absent mean the same, as in Go.

Ranges: Calico v3.32.1 `libcalico-go/lib/apis/internalapi/workloadendpoint.go`, and
`libcalico-go/lib/backend/k8s/conversion` for what goes with what; DSCP `api/pkg/lib/numorstring`.
"""

from __future__ import annotations

import msgspec

from felix_py.datastore import codec_fields as fields
from felix_py.datastore.codec_fields import BadField
from felix_py.datastore.model import Invalid
from felix_py.datastore.qos import (
    DEFAULT_BURST_BITS,
    DEFAULT_PACKET_BURST,
    Bandwidth,
    Direction,
    PacketRate,
    QosControls,
)

PATH = "spec.qosControls"

BANDWIDTH = (1000, 10**15)
BURST = (1000, 34_359_738_360)
PEAK_RATE = (1010, 1_010_000_000_000_000)
MIN_BURST = (1000, 10**8)
PACKETS = (1, 10**4)
CONNECTIONS = (1, 2**32 - 1)

DSCP_NAMES = {
    "DF": 0,
    "EF": 46,
    **{f"AF{c}{drop}": 8 * c + 2 * drop for c in range(1, 5) for drop in range(1, 4)},
    **{f"CS{c}": 8 * c for c in range(7)},
}
MAX_DSCP = 63


class _Controls(msgspec.Struct, rename="camel"):
    ingress_bandwidth: int | None = None
    ingress_burst: int | None = None
    ingress_peakrate: int | None = None
    ingress_minburst: int | None = None
    ingress_packet_rate: int | None = None
    ingress_packet_burst: int | None = None
    ingress_max_connections: int | None = None
    egress_bandwidth: int | None = None
    egress_burst: int | None = None
    egress_peakrate: int | None = None
    egress_minburst: int | None = None
    egress_packet_rate: int | None = None
    egress_packet_burst: int | None = None
    egress_max_connections: int | None = None
    dscp: int | str | None = None


def decode_qos(stored: object) -> QosControls | Invalid | None:
    """What an endpoint says; None: nothing. Invalid controls count as absent, the endpoint does not: a
    slip of the pen in a limit must not cost a pod its network."""
    if not stored:
        return None
    try:
        wire = msgspec.convert(stored, _Controls)
        found = QosControls(
            _direction(wire, "ingress"), _direction(wire, "egress"), _dscp(wire.dscp)
        )
    except BadField as error:
        return Invalid(str(error))
    except msgspec.ValidationError as error:
        return Invalid(f"{PATH}: {error}")
    return None if found == QosControls() else found


def _direction(wire: _Controls, way: str) -> Direction:
    rate = _number(wire, f"{way}Bandwidth", BANDWIDTH)
    burst = _number(wire, f"{way}Burst", BURST, needs=(f"{way}Bandwidth", rate))
    peak = _number(wire, f"{way}Peakrate", PEAK_RATE, needs=(f"{way}Bandwidth", rate))
    least = _number(wire, f"{way}Minburst", MIN_BURST, needs=(f"{way}Peakrate", peak))
    if rate and peak and peak <= rate:
        problem = f"{peak} is not above {way}Bandwidth {rate}; raise it or leave it out"
        raise BadField(f"{PATH}.{way}Peakrate", problem)
    packets = _number(wire, f"{way}PacketRate", PACKETS)
    at_once = _number(wire, f"{way}PacketBurst", PACKETS, needs=(f"{way}PacketRate", packets))
    return Direction(
        Bandwidth(rate, burst or DEFAULT_BURST_BITS, peak, least) if rate else None,
        PacketRate(packets, at_once or DEFAULT_PACKET_BURST) if packets else None,
        _number(wire, f"{way}MaxConnections", CONNECTIONS) or None,
    )


def _number(
    wire: _Controls, name: str, span: tuple[int, int], needs: tuple[str, int] | None = None
) -> int:
    """A field's number, 0 when it is not set. needs: another field, which must be set then."""
    attribute = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    value: int = getattr(wire, attribute) or 0
    if not value:
        return 0
    if needs is not None and not needs[1]:
        raise BadField(f"{PATH}.{name}", f"needs {needs[0]}; set it too")
    return fields.in_range(f"{PATH}.{name}", value, *span)


def _dscp(value: int | str | None) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and not value.isdecimal():
        number = DSCP_NAMES.get(value.strip().upper())
        if number is None:
            known = ", ".join(DSCP_NAMES)
            raise BadField(f"{PATH}.dscp", f"{value!r} is unknown; write 0 to 63 or one of {known}")
        return number
    return fields.in_range(f"{PATH}.dscp", int(value), 0, MAX_DSCP)
