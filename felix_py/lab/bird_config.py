"""A router to the text of bird.conf (BIRD 2). Pure."""

from __future__ import annotations

from felix_py.lab.bgp_plan import Neighbour, Router, Session

HEAD = """\
# {name}: written by felix-lab, read by BIRD 2.
log stderr {{ info, remote, warning, error, auth, fatal, bug }};
router id {router_id};
watchdog warning 5 s;

protocol device {{ scan time 5; }}
"""

TOR_KERNEL = """\
protocol kernel {{
    merge paths on;
    persist;
    graceful restart on;
    ipv{version} {{ import none; export where source = RTS_BGP; }};
}}
"""

# The reflector forwards nothing: it needs to know its neighbours' subnet and the way out to judge
# next hops, and writes no route.
REFLECTOR_KERNEL = """\
protocol kernel {{
    learn;
    ipv{version} {{ import all; export none; }};
}}
"""

# Addresses are given by hand: the advertisements say who the gateway is, and nothing else.
ADVERTISEMENTS = """\
protocol radv {
    interface "rack0" {
        max ra interval 10;
        default lifetime 1800;
        prefix ::/0 { skip; };
    };
}
"""

TIMERS = """\
    hold time 90;
    connect delay time 1;
    connect retry time 2;
    error wait time 1, 4;
    graceful restart on;
    graceful restart time 120;
"""

SHAPES: dict[Neighbour, tuple[str, str]] = {
    "node-external": ("", "import all; export where source ~ [ RTS_DEVICE, RTS_BGP ];"),
    "node-reflect": (
        "    rr client;\n",
        "import all; export where source ~ [ RTS_DEVICE, RTS_BGP ]; next hop self;",
    ),
    "spine": ("", "import all; export where source ~ [ RTS_DEVICE, RTS_BGP ];"),
    # Its routes carry the nodes' own addresses as next hops, some of them two hops away.
    "reflector": ("    multihop;\n", "import all; export none; gateway recursive;"),
    "client": (
        "    multihop;\n    rr client;\n",
        "import where source = RTS_BGP; export where source = RTS_BGP; gateway recursive;",
    ),
    # By eBGP, but with the nodes' next hops: the reflector is not on the forwarding path.
    "collector": ("    multihop;\n", "import none; export where source = RTS_BGP; next hop keep;"),
}


def render(router: Router) -> str:
    """The whole file."""
    parts = [HEAD.format(name=router.name, router_id=router.router_id), _tables(router)]
    if router.advertises:
        parts.append(ADVERTISEMENTS)
    return "\n".join([*parts, *(_session(router, session) for session in router.sessions)])


def _tables(router: Router) -> str:
    channels = " ".join(f"ipv{version};" for version in router.versions)
    kernel = TOR_KERNEL if router.forwards else REFLECTOR_KERNEL
    kernels = [kernel.format(version=version) for version in router.versions]
    return "\n".join([f"protocol direct {{ {channels} }}\n", *kernels])


def _session(router: Router, session: Session) -> str:
    options, channel = SHAPES[session.neighbour]
    channels = "".join(f"    ipv{version} {{ {channel} }};\n" for version in session.versions)
    return (
        f"protocol bgp {session.name.replace('-', '_')} {{\n"
        f"    local {session.local} as {router.as_number};\n"
        f"    neighbor {session.peer} as {session.peer_as};\n"
        f"{options}{TIMERS}"
        f"{channels}"
        "}\n"
    )
