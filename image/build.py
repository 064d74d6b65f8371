"""From packages to images: what goes into which, in which layer."""

from __future__ import annotations

import configparser
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from felix_py.lab.namespaces import run
from felix_py.lab.oci import Entry, Image, Settings, Tree, image
from image import bytecode, check, contents, debian, wheels

REGISTRY = "docker.io/felix-py"
PRODUCT = "felix-py"
SOURCE = "org.opencontainers.image"


@dataclass(frozen=True, slots=True)
class Built:
    """An image, what it is called, and what it was made from, a line for each package."""

    name: str
    file: str
    image: Image
    packages: tuple[str, ...]


def version() -> str:
    """Of the product, as setup.cfg has it."""
    parser = configparser.ConfigParser()
    parser.read_string((wheels.CHECKOUT / "setup.cfg").read_text())
    return parser["metadata"]["version"]


def felix(at: int, tag: str) -> Built:
    """The product: one layer of what others made, one of ours, which is all that an upgrade brings."""
    packages = debian.fetch(contents.FELIX_PACKAGES)
    base = _debian(packages) | contents.system("exabgp", contents.EXABGP_USER)
    base["usr/bin/python3"] = Entry("python3.11")
    python = contents.python_kept(wheels.third_party())
    wheel = wheels.own()
    ours = contents.python_kept(wheel)
    shim = ours[f"{contents.PYTHON_PACKAGES}/cni/shim/felix-py"]
    interpreter = dict(base)
    base |= python | bytecode.compiled(interpreter | python, interpreter)
    ours |= bytecode.compiled(ours, interpreter) | {f"{contents.PLUGINS}/felix-py": shim}
    ours |= contents.scripts(wheels.scripts(wheel, "felix_py"))
    check.complete(base | ours)
    compiler = run(["gcc", "--version"]).splitlines()[0]
    made_from = [package.line for package in packages] + _pinned() + [f"compiled by {compiler}"]
    environment = {
        "PATH": "/usr/local/bin:/usr/sbin:/usr/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    settings = Settings(environment=environment)
    return _built(f"{PRODUCT}:{tag}", [base, ours], made_from, settings, at)


def etcd(at: int, tag: str) -> Built:
    """Debian's etcd and etcdctl, which run as an ordinary user."""
    packages = debian.fetch(contents.ETCD_PACKAGES)
    tree = _debian(packages) | contents.system("etcd", contents.ETCD_USER)
    check.complete(tree)
    made_from = [package.line for package in packages]
    user = f"{contents.ETCD_USER}:{contents.ETCD_USER}"
    settings = Settings(environment={"PATH": "/usr/bin", "ETCDCTL_API": "3"}, user=user)
    return _built(f"etcd:{tag}", [tree], made_from, settings, at)


def _debian(packages: Sequence[debian.Package]) -> dict[str, Entry]:
    tree: dict[str, Entry] = {}
    for package in packages:
        tree |= contents.plugins(contents.kept(debian.unpack(package)))
        about = Entry(debian.about(package).encode())
        tree[f"var/lib/dpkg/status.d/{package.name}"] = about
    return tree


def _pinned() -> list[str]:
    lines = wheels.LOCK.read_text().splitlines()
    return [line.rstrip(" \\").replace("==", " ") for line in lines if "==" in line]


def _built(
    named: str, layers: Sequence[Tree], made_from: Sequence[str], settings: Settings, at: int
) -> Built:
    name, _, tag = named.partition(":")
    packages = tuple(made_from)
    labels = {
        f"{SOURCE}.title": name,
        f"{SOURCE}.version": tag,
        f"{SOURCE}.licenses": "Apache-2.0",
        "io.felix-py.packages": sha256("\n".join(packages).encode()).hexdigest(),
    }
    made = image(f"{REGISTRY}/{named}", layers, replace(settings, labels=labels), at)
    file = name if name.startswith(PRODUCT) else f"{PRODUCT}-{name}"
    return Built(f"{REGISTRY}/{named}", f"{file}-{tag}", made, packages)
