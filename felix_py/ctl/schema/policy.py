"""Policies, rules and tiers: the tables; how fields hang together is policy_checks.py's.

Reference: Calico v3.32.1 `api/pkg/apis/projectcalico/v3/{policy_common,networkpolicy,tier}.go`.
"""

from __future__ import annotations

from felix_py.ctl.schema import policy_checks as checks
from felix_py.ctl.schema.scalars import NAME, REAL_NETWORK, Port, Protocol, dns_label
from felix_py.ctl.schema.shape import (
    Anything,
    Choice,
    Fields,
    Flag,
    Many,
    Number,
    Order,
    Text,
    Words,
)

ACTIONS = ("Allow", "Deny", "Log", "Pass")
TYPES = ("Ingress", "Egress")
STAGED_ACTIONS = ("Set", "Delete", "Learn", "Ignore")
MAX_RULES = 1024
PLAIN_SELECTOR = Text(checks.plain_selector)

ENTITY = Fields(
    {
        "nets": Many(REAL_NETWORK),
        "selector": PLAIN_SELECTOR,
        "namespaceSelector": Text(checks.namespaces),
        "services": Fields({"name": NAME, "namespace": NAME}),
        "ports": Many(Port()),
        "notNets": Many(REAL_NETWORK),
        "notSelector": PLAIN_SELECTOR,
        "notPorts": Many(Port()),
        "serviceAccounts": Fields({"names": Many(NAME), "selector": PLAIN_SELECTOR}),
    },
    rule=checks.check_entity,
)
_ICMP = Fields(
    {"type": Number(0, 254), "code": Number(0, 255)},
    rule=checks.check_icmp,
)
_HTTP = Fields(
    {
        "methods": Many(Text(), at_most=20),
        "paths": Many(
            Fields({"exact": Text(), "prefix": Text()}, rule=checks.check_path),
            at_most=20,
        ),
    }
)
RULE = Fields(
    {
        "action": Choice(ACTIONS),
        "ipVersion": Number(),
        "protocol": Protocol(),
        "icmp": _ICMP,
        "notProtocol": Protocol(),
        "notICMP": _ICMP,
        "source": ENTITY,
        "destination": ENTITY,
        "http": _HTTP,
        "metadata": Fields({"annotations": Words()}),
    },
    required=("action",),
    always={"source": {}, "destination": {}},
    rule=checks.check_rule,
)
RULES = Many(RULE, at_most=MAX_RULES)

_BEGIN = {
    "tier": Text(dns_label),
    "order": Order(),
    "ingress": RULES,
    "egress": RULES,
    "selector": PLAIN_SELECTOR,
    "types": Many(Choice(TYPES), unique=True, at_most=2),
}
_HINTS = {"performanceHints": Many(Choice(("AssumeNeededOnEveryNode",)), unique=True)}
_OF_HOSTS = {
    "doNotTrack": Flag(omits_false=True),
    "preDNAT": Flag(omits_false=True),
    "applyOnForward": Flag(omits_false=True),
}
_STAGED = {"stagedAction": Choice(STAGED_ACTIONS)}
_LOCAL = {**_BEGIN, "serviceAccountSelector": PLAIN_SELECTOR, **_HINTS}
_GLOBAL = {
    **_BEGIN,
    **_OF_HOSTS,
    "serviceAccountSelector": PLAIN_SELECTOR,
    "namespaceSelector": PLAIN_SELECTOR,
    **_HINTS,
}

NETWORK_POLICY = Fields(_LOCAL, rule=checks.check_local)
GLOBAL_NETWORK_POLICY = Fields(_GLOBAL, rule=checks.check_global)
STAGED_NETWORK_POLICY = Fields({**_STAGED, **_LOCAL}, rule=checks.staged(checks.check_local))
STAGED_GLOBAL_NETWORK_POLICY = Fields(
    {**_STAGED, **_GLOBAL}, rule=checks.staged(checks.check_global)
)
_PEERS = Many(Anything())
STAGED_KUBERNETES_NETWORK_POLICY = Fields(
    {
        **_STAGED,
        "podSelector": Fields({"matchLabels": Words(), "matchExpressions": Many(Anything())}),
        "ingress": Many(Fields({"ports": _PEERS, "from": _PEERS})),
        "egress": Many(Fields({"ports": _PEERS, "to": _PEERS})),
        "policyTypes": Many(Choice(TYPES), unique=True, at_most=2),
    },
    always={"podSelector": {}},
)
TIER = Fields({"order": Order(), "defaultAction": Choice(("Deny", "Pass"))})
