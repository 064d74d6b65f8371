"""KubeControllersConfiguration.

Reference: Calico v3.32.1 `api/pkg/apis/projectcalico/v3/kubecontrollersconfig.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from felix_py.ctl.schema.scalars import NAME, NETWORK, SELECTOR, Duration, expression, label
from felix_py.ctl.schema.shape import Choice, Fields, Many, Number, Text, Words
from felix_py.datastore.codec_fields import BadField

_SWITCH = Choice(("Enabled", "Disabled"))
_PERIOD = Fields({"reconcilerPeriod": Duration()})


def _check_template(path: str, template: Mapping[str, Any]) -> None:
    if "interfaceCIDRs" not in template and "interfacePattern" not in template:
        raise BadField(f"{path}.interfaceCIDRs", "is missing; set it or interfacePattern")


_TEMPLATE = Fields(
    {
        "generateName": NAME,
        "interfaceCIDRs": Many(NETWORK),
        "interfacePattern": Text(expression),
        "labels": Words(label),
        "nodeSelector": SELECTOR,
    },
    rule=_check_template,
)
_NODE = Fields(
    {
        "reconcilerPeriod": Duration(),
        "syncLabels": _SWITCH,
        "hostEndpoint": Fields(
            {
                "autoCreate": _SWITCH,
                "createDefaultHostEndpoint": _SWITCH,
                "templates": Many(_TEMPLATE),
            }
        ),
        "leakGracePeriod": Duration(),
    }
)
CONTROLLERS = Fields(
    {
        "logSeverityScreen": Choice(
            ("None", "Debug", "Info", "Warning", "Error", "Fatal", "Panic"), folded=True
        ),
        "healthChecks": _SWITCH,
        "etcdV3CompactionPeriod": Duration(),
        "prometheusMetricsPort": Number(0, 65535),
        "controllers": Fields(
            {
                "node": _NODE,
                "policy": _PERIOD,
                "workloadEndpoint": _PERIOD,
                "serviceAccount": _PERIOD,
                "namespace": _PERIOD,
                "loadBalancer": Fields(
                    {"assignIPs": Choice(("AllServices", "RequestedServicesOnly"))}
                ),
                "policyMigration": Fields({"enabled": _SWITCH}),
            }
        ),
        "debugProfilePort": Number(0, 65535),
    },
    always={"controllers": {}},
)
