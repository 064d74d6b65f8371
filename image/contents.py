"""What a node needs of what was fetched, and the few files that no package has. Pure tables and rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from felix_py.lab.oci import PLAIN, PROGRAM, STICKY, Entry

PYTHON_PACKAGES = "usr/local/lib/python3.11/dist-packages"
"""Where pip puts packages for Debian's own Python."""
SCRIPTS = "usr/local/bin"
PLUGINS = "opt/cni/bin"
STANDARD_LIBRARY = "usr/lib/python3.11"
LIBRARIES = "usr/lib/*-linux-gnu*"

C_LIBRARY = ("libc6",)
FELIX_PACKAGES = (
    *C_LIBRARY,
    *("base-files", "netbase"),  # os-release; protocols and services by name, for nft
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"),
    *("libexpat1", "zlib1g", "libssl3", "libffi8", "libbz2-1.0", "liblzma5", "libuuid1"),
    "libsqlite3-0",  # these and this are Python's; pyroute2 imports the module
    *("libgcc-s1", "libstdc++6"),  # grpcio's
    *("nftables", "libnftables1", "libnftnl11", "libmnl0", "libxtables12", "libjansson4"),
    *("libgmp10", "libedit2", "libbsd0", "libmd0", "libtinfo6"),  # nft's
    # iptables-legacy, where a host has rules in it, with all that such rules can say
    *("iptables", "libip4tc2", "libip6tc2", "libnetfilter-conntrack3", "libnfnetlink0"),
    "containernetworking-plugins",
    "openssl",  # certificates of the etcd inside
)
ETCD_PACKAGES = (*C_LIBRARY, "base-files", "etcd-server", "etcd-client")

KEPT = (
    "etc/protocols",
    "etc/services",
    "usr/bin/etcd",
    "usr/bin/etcdctl",
    "usr/bin/openssl",
    "usr/bin/python3.11",
    "usr/lib/os-release",
    f"{LIBRARIES}/*.so",
    f"{LIBRARIES}/*.so.*",
    f"{LIBRARIES}/xtables/*.so",
    f"{STANDARD_LIBRARY}/*",
    "usr/lib64/ld-linux*",
    "usr/lib/cni/bandwidth",
    "usr/lib/cni/loopback",
    "usr/lib/cni/portmap",
    "usr/sbin/nft",
    "usr/sbin/xtables-legacy-multi",
    "usr/sbin/ip*tables-legacy",
    "usr/share/doc/*/copyright",
)
"""Of Debian's packages; `*` crosses slashes. Licences stay, as they ask for."""
LEFT_OUT = (
    f"{LIBRARIES}/gconv/*",
    f"{LIBRARIES}/audit/*",
    f"{LIBRARIES}/engines-3/*",
    f"{LIBRARIES}/ossl-modules/*",
    f"{LIBRARIES}/libc_malloc_debug.so*",
    f"{LIBRARIES}/libmemusage.so",
    f"{LIBRARIES}/libpcprofile.so",
    f"{LIBRARIES}/libBrokenLocale.so*",
    f"{LIBRARIES}/libthread_db.so*",
    f"{LIBRARIES}/libnss_compat.so*",
    f"{LIBRARIES}/libnss_hesiod.so*",
    f"{LIBRARIES}/libnsl.so*",
    # Libraries that no program here names; check.py would tell if one did.
    f"{LIBRARIES}/libexpatw.so*",
    f"{LIBRARIES}/libmvec.so*",
    f"{LIBRARIES}/libtic.so*",
    # Modules of the standard library that want a library of their own, or a terminal, or a window.
    f"{STANDARD_LIBRARY}/lib-dynload/_crypt.*",
    f"{STANDARD_LIBRARY}/lib-dynload/_curses*",
    f"{STANDARD_LIBRARY}/lib-dynload/_dbm.*",
    f"{STANDARD_LIBRARY}/lib-dynload/_test*",
    f"{STANDARD_LIBRARY}/lib-dynload/_xx*",
    f"{STANDARD_LIBRARY}/lib-dynload/audioop.*",
    f"{STANDARD_LIBRARY}/lib-dynload/nis.*",
    f"{STANDARD_LIBRARY}/lib-dynload/ossaudiodev.*",
    f"{STANDARD_LIBRARY}/lib-dynload/readline.*",
    f"{STANDARD_LIBRARY}/lib-dynload/xxlimited*",
    f"{STANDARD_LIBRARY}/curses/*",
    f"{STANDARD_LIBRARY}/dbm/*",
    f"{STANDARD_LIBRARY}/distutils/*",
    f"{STANDARD_LIBRARY}/ensurepip/*",
    f"{STANDARD_LIBRARY}/idlelib/*",
    f"{STANDARD_LIBRARY}/lib2to3/*",
    f"{STANDARD_LIBRARY}/pydoc_data/*",
    f"{STANDARD_LIBRARY}/sitecustomize.py",
    f"{STANDARD_LIBRARY}/test/*",
    f"{STANDARD_LIBRARY}/tkinter/*",
    f"{STANDARD_LIBRARY}/turtle*",
    # Encodings but a few: what a node reads and writes is UTF-8.
    f"{STANDARD_LIBRARY}/encodings/*",
    f"{STANDARD_LIBRARY}/lib-dynload/_codecs_*",
    f"{STANDARD_LIBRARY}/lib-dynload/_multibytecodec.*",
    f"{STANDARD_LIBRARY}/venv/*",
    f"{STANDARD_LIBRARY}/*/architecture.rst",
)
ENCODINGS = (
    *("__init__", "aliases", "ascii", "base64_codec", "charmap", "cp437", "hex_codec", "idna"),
    *("iso8859_1", "latin_1", "punycode", "quopri_codec", "raw_unicode_escape", "undefined"),
    *("unicode_escape", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le"),
    *("utf_7", "utf_8", "utf_8_sig", "zlib_codec"),
)
"""The few; zipfile wants cp437."""
PYTHON_LEFT_OUT = (
    "felix_py/lab/*",
    "*.pyi",
    "*/py.typed",
    "*.c",
    "*.h",
    "*.pyx",
    "*.pxd",
    "*.pxi",
    "*/tests/*",
    "*/test/*",
    "*/testing/*",
    "*benchmark*",
    "*/testing_refleaks.py",
    "*/testdata/*",
    "exabgp/vendoring/profiler.py",
    "pyroute2/fixtures/*",
    "pydantic/v1/*",
    "pygments/lexers/*",
)
"""Of the wheels: the lab, types for checkers, sources of what is compiled, tests, other languages' code."""
PYTHON_KEPT = tuple(
    f"pygments/lexers/{name}.py" for name in ("__init__", "_mapping", "data", "python", "special")
)
"""All the same: what rich shows tracebacks and JSON with."""
SCRIPTS_LEFT_OUT = ("felix-lab",)

EXABGP_USER, ETCD_USER = 64179, 64180
USERS = """\
root:x:0:0:root:/:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUPS = "root:x:0:\nnogroup:x:65534:\n"
RUN = "#!/usr/bin/python3 -sP\nimport sys\n\nfrom {module} import {function}\n\nsys.exit({function}())\n"
"""A console script; -sP: nothing of a user's own or of the working directory is imported."""


def kept(tree: Mapping[str, Entry]) -> dict[str, Entry]:
    """What of unpacked Debian packages stays."""
    needed = {f"{STANDARD_LIBRARY}/encodings/{name}.py" for name in ENCODINGS}
    return {
        path: entry
        for path, entry in tree.items()
        if path in needed or (_matches(path, KEPT) and not _matches(path, LEFT_OUT))
    }


def python_kept(tree: Mapping[str, Entry]) -> dict[str, Entry]:
    """What of unpacked wheels stays, at its place in the image."""
    return {
        f"{PYTHON_PACKAGES}/{path}": entry
        for path, entry in tree.items()
        if path in PYTHON_KEPT or not _matches(path, PYTHON_LEFT_OUT)
    }


def plugins(tree: Mapping[str, Entry]) -> dict[str, Entry]:
    """CNI's reference plugins, moved from where Debian has them to where runtimes look."""
    return {_plugin(path): entry for path, entry in tree.items()}


def scripts(found: Iterable[tuple[str, str, str]]) -> dict[str, Entry]:
    """Programs for console scripts (name, module, function)."""
    return {
        f"{SCRIPTS}/{name}": Entry(RUN.format(module=module, function=function).encode(), PROGRAM)
        for name, module, function in found
        if name not in SCRIPTS_LEFT_OUT
    }


def system(user: str, number: int) -> dict[str, Entry]:
    """What maintainer scripts and an installer would make: links into /usr, users, mount points."""
    account = f"{user}:x:{number}:{number}:{user}:/nonexistent:/usr/sbin/nologin\n"
    links = {name: Entry(f"usr/{name}") for name in ("bin", "sbin", "lib", "lib64")}
    folders: Sequence[str] = ("dev", "etc", "proc", "run", "sys", "usr/sbin", "var")
    return {
        **links,
        **{name: Entry(None, PROGRAM) for name in folders},
        "tmp": Entry(None, STICKY),
        "etc/os-release": Entry("../usr/lib/os-release"),
        "etc/passwd": Entry((USERS + account).encode(), PLAIN),
        "etc/group": Entry(f"{GROUPS}{user}:x:{number}:\n".encode(), PLAIN),
        "etc/hosts": Entry(b"127.0.0.1 localhost\n::1 localhost\n", PLAIN),
        "etc/nsswitch.conf": Entry(b"passwd: files\ngroup: files\nhosts: files dns\n", PLAIN),
    }


def _plugin(path: str) -> str:
    top, _, name = path.rpartition("/")
    return f"{PLUGINS}/{name}" if top == "usr/lib/cni" else path


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
