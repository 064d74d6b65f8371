"""The images as `make image` builds them: always the same, without what no node needs, and runnable."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bgp.exabgp_command import command
from felix_py.lab.oci import Entry
from image import cache, check, contents
from image.build import version
from image.wheels import CHECKOUT
from tests.functional.image.archives import Archive, build, copy_checkout
from tests.support.containerd import Containerd
from tests.support.lab import eventually

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

FELIX, ETCD = "docker.io/felix-py/felix-py", "docker.io/felix-py/etcd"
PACKAGES = contents.PYTHON_PACKAGES
LIMIT_MB = {"felix-py": 125, "felix-py-etcd": 50}
"""A ratchet: what makes an image bigger than this wants a reason."""
IDLE = ("python3", "-c", "import time; time.sleep(900)")
RIGHTS = (
    *("--read-only", "--cap-add", "CAP_NET_ADMIN"),
    *("--mount", "type=tmpfs,src=tmpfs,dst=/run,options=rw"),
)
EVERY_MODULE = """
import importlib, pkgutil
for top in ("felix_py", "bgp", "ipam", "cni"):
    for found in pkgutil.walk_packages(importlib.import_module(top).__path__, top + "."):
        importlib.import_module(found.name)
        print(found.name)
"""
WHAT_DAEMONS_IMPORT_LATE = """
import ctypes, ssl, sqlite3, lzma, uuid, zipfile, grpc, pyroute2
print(ssl.create_default_context().minimum_version, grpc.ssl_channel_credentials(b"x"))
pyroute2.IPRoute().close()
"""
CONFIGURATION = """\
neighbor 192.0.2.1 {
    router-id 192.0.2.2;
    local-address 192.0.2.2;
    local-as 64512;
    peer-as 64513;
    family { ipv4 unicast; ipv6 unicast; }
}
"""
VALIDATE = f"""
import os, subprocess, sys
open("/run/exabgp.conf", "w").write({CONFIGURATION!r})
argv = [sys.executable, *{command("python3", "validate", "/run/exabgp.conf")[1:]!r}]
sys.exit(subprocess.run(argv, cwd="/", user={contents.EXABGP_USER}).returncode)
"""
CERTIFICATES = """
import tempfile
tempfile.tempdir = "/run"
from felix_py.install import certificates
by = certificates.authority("ours")
made = certificates.signed(by, "server", ["127.0.0.1", "etcd.felix-py"]).certificate
print(*(certificates.serves(made, by.certificate, [name]) for name in ("127.0.0.1", "127.0.0.2")))
"""
LOAD = """
import subprocess, sys
subprocess.run(["nft", "-f", "-"], input=sys.argv[1], text=True, check=True)
print(subprocess.run(["nft", "-j", "list", "ruleset"], capture_output=True, text=True).stdout)
"""


def scripts() -> list[str]:
    """The console scripts that setup.cfg names, but for the lab's."""
    parser = configparser.ConfigParser()
    parser.read(CHECKOUT / "setup.cfg")
    lines = parser["options.entry_points"]["console_scripts"].split("\n")[1:]
    return [name for line in lines if (name := line.partition("=")[0].strip()) != "felix-lab"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("built")
    told = build(CHECKOUT, output)
    assert re.search(rf"felix-py-{version()}\.tar .* \d+\.\d MB .* sha256:\w{{64}}\n", told)
    return output


@pytest.fixture(scope="module")
def felix(built: Path) -> Archive:
    return Archive.of(built, "felix-py")


@pytest.fixture(scope="module")
def etcd(built: Path) -> Archive:
    return Archive.of(built, "felix-py-etcd")


@pytest.fixture(scope="module")
def daemon(felix: Archive, etcd: Archive) -> Iterator[Containerd]:
    with Containerd(()) as running:
        running.load(felix.content)
        running.load(etcd.content)
        yield running
    assert not running.leftovers()


@pytest.fixture(scope="module")
def inside(daemon: Containerd) -> str:
    """A container of the product's image with a read-only root, at rest."""
    daemon.start("felix", f"{FELIX}:{version()}", RIGHTS, *IDLE)
    return "felix"


def test_another_path_cache_umask_and_time_zone_build_the_same_and_a_changed_line_another(
    built: Path, felix: Archive, etcd: Archive, tmp_path: Path
) -> None:
    checkout, fresh, output = (tmp_path / name for name in ("checkout", "cache", "output"))
    copy_checkout(checkout)
    # What was fetched is no matter of reproducing; all that is made of it is made again.
    shutil.copytree(cache.directory() / "debian", fresh / "felix-py" / "image" / "debian")
    pip = subprocess.run(["pip", "cache", "dir"], capture_output=True, text=True, check=False)
    other = {"XDG_CACHE_HOME": str(fresh), "TZ": "Asia/Tokyo", "TMPDIR": str(tmp_path)}
    other |= {"PIP_CACHE_DIR": pip.stdout.strip()} if pip.returncode == 0 else {}
    before = os.umask(0o077)
    try:
        build(checkout, output, other)
        again = Archive.of(output, "felix-py")
        assert again.digest == felix.digest
        assert again.content == felix.content
        assert Archive.of(output, "felix-py-etcd").content == etcd.content
        for name in (f"felix-py-{version()}", f"felix-py-etcd-{version()}"):
            listed = (output / f"{name}.packages").read_text()
            assert listed == (built / f"{name}.packages").read_text()
        with (checkout / "ipam" / "block.py").open("a") as source:
            source.write("\nCHANGED = True\n")
        build(checkout, output, other)
    finally:
        os.umask(before)
    changed = Archive.of(output, "felix-py")
    assert changed.digest != felix.digest
    assert changed.layers[0] == felix.layers[0], "an upgrade brings the product's own layer alone"
    assert changed.layers[1] != felix.layers[1]


def test_archives_carry_their_names_and_say_what_they_were_made_from(
    built: Path, felix: Archive, etcd: Archive
) -> None:
    for archive, name in ((felix, FELIX), (etcd, ETCD)):
        said = archive.described["annotations"]
        assert said["io.containerd.image.name"] == f"{name}:{version()}"
        assert said["org.opencontainers.image.ref.name"] == version()
        assert archive.config["config"]["Labels"]["org.opencontainers.image.version"] == version()
    listed = (built / f"felix-py-{version()}.packages").read_text()
    assert felix.digest in listed
    for package in contents.FELIX_PACKAGES:
        assert re.search(rf"^{re.escape(package)} \S+ sha256:\w{{64}}$", listed, re.MULTILINE)


def test_images_hold_nothing_that_a_node_does_not_need(felix: Archive, etcd: Archive) -> None:
    unwanted = re.compile(
        r"(^|/)(pip|setuptools|wheel|tests?|perl\d*|apt|dpkg-deb|sh|bash|man|locale|host-local|ptp|gconv"
        r"|machine-id|log|cache)(/|$)|(^|/)felix_py/lab|/felix-lab$|/apt/|\.(log|pyx|h|c|a)$"
    )
    for archive in (felix, etcd):
        assert not [path for path in archive.members() if unwanted.search(path)]
        docs = [path for path in archive.files() if path.startswith("usr/share/")]
        assert docs, "licences stay"
        assert {path.rpartition("/")[2] for path in docs} == {"copyright"}
        assert {member.mtime for member in archive.members().values()} == {0}
        assert {(one.uid, one.gid) for one in archive.members().values()} == {(0, 0)}
        setuid = [path for path, one in archive.members().items() if one.mode & 0o6000]
        assert not setuid
    assert unwanted.search(f"{PACKAGES}/pip/__init__.py"), (
        "the control: the look finds what is there"
    )
    assert unwanted.search(f"{PACKAGES}/felix_py/lab/main.py")


def test_images_are_no_bigger_than_they_were(felix: Archive, etcd: Archive) -> None:
    for name, archive in (("felix-py", felix), ("felix-py-etcd", etcd)):
        assert len(archive.content) < LIMIT_MB[name] * 1e6


def test_every_python_file_is_compiled_and_its_date_is_never_looked_at(felix: Archive) -> None:
    files = felix.files()
    sources = [path for path in files if path.endswith(".py")]
    assert len(sources) > 1000
    for source in sources:
        folder, _, name = source.rpartition("/")
        compiled = files[f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-311.pyc"]
        # PEP 552: bit 0 says that a hash follows, bit 1 that it is checked.
        assert int.from_bytes(compiled[4:8], "little") == 1, source


def test_the_plugins_are_the_shim_and_three_of_the_reference_and_the_shim_is_static(
    felix: Archive,
) -> None:
    files = felix.files()
    found = {path.rpartition("/")[2] for path in files if path.startswith("opt/cni/bin/")}
    assert found == {"felix-py", "portmap", "bandwidth", "loopback"}
    trees = {name: Entry(files[f"opt/cni/bin/{name}"]) for name in found}
    wants = {file for file, _ in check.needs(trees)}
    assert "felix-py" not in wants
    assert "portmap" in wants, "the control: the look finds what a program needs"


def test_containerd_imports_both_by_their_names(daemon: Containerd) -> None:
    assert {f"{FELIX}:{version()}", f"{ETCD}:{version()}"} <= daemon.images()


@pytest.mark.parametrize("script", scripts())
def test_every_program_starts_on_a_read_only_root(
    daemon: Containerd, inside: str, script: str
) -> None:
    done = daemon.exec_program(inside, script, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout.lower()


def test_felixctl_says_the_version_that_setup_says(daemon: Containerd, inside: str) -> None:
    done = daemon.exec_program(inside, "felixctl", "version")
    assert version() in done.stdout, done.stderr


def test_every_module_of_ours_finds_what_it_imports(daemon: Containerd, inside: str) -> None:
    done = daemon.exec_program(inside, "python3", "-c", EVERY_MODULE)
    assert done.returncode == 0, done.stderr
    assert {"felix_py.agent.loop", "bgp.relay", "cni.server", "ipam.block"} <= set(
        done.stdout.split()
    )
    late = daemon.exec_program(inside, "python3", "-c", WHAT_DAEMONS_IMPORT_LATE)
    assert late.returncode == 0, late.stderr


def test_exabgp_reads_a_configuration_as_its_own_user(daemon: Containerd, inside: str) -> None:
    done = daemon.exec_program(inside, "python3", "-c", VALIDATE)
    assert done.returncode == 0, done.stdout + done.stderr
    who = daemon.exec_program(
        inside, "python3", "-c", f"import pwd; print(pwd.getpwuid({contents.EXABGP_USER}).pw_name)"
    )
    assert who.stdout == "exabgp\n"


def test_the_installation_makes_certificates(daemon: Containerd, inside: str) -> None:
    done = daemon.exec_program(inside, "python3", "-c", CERTIFICATES)
    assert done.stdout == "True False\n", done.stderr


@pytest.mark.parametrize("table", ["nft_every_switch", "nft_tunnels_and_nat"])
def test_its_nft_loads_the_tables_that_felix_writes(
    daemon: Containerd, inside: str, table: str
) -> None:
    text = (CHECKOUT / "tests" / "golden" / "felix" / f"{table}.nft").read_text()
    done = daemon.exec_program(inside, "python3", "-c", LOAD, text)
    assert done.returncode == 0, done.stderr
    tables = [one["table"]["name"] for one in json.loads(done.stdout)["nftables"] if "table" in one]
    assert set(tables) == {"felix-py"}


def test_the_older_iptables_and_the_plugins_run(daemon: Containerd, inside: str) -> None:
    for program in ("iptables-legacy", "ip6tables-legacy"):
        assert "(legacy)" in daemon.exec_program(inside, program, "--version").stdout
    for plugin in ("felix-py", "portmap", "bandwidth", "loopback"):
        ask = f"import os; os.environ['CNI_COMMAND'] = 'VERSION'; os.execv('/opt/cni/bin/{plugin}', ['x'])"
        done = daemon.exec_program(inside, "python3", "-c", ask)
        assert "supportedVersions" in done.stdout + done.stderr, (plugin, done)


def test_nothing_can_be_written_but_where_something_is_mounted(
    daemon: Containerd, inside: str
) -> None:
    done = daemon.exec_program(inside, "python3", "-c", "open('/tmp/x', 'w')")
    assert "Read-only file system" in done.stderr


def test_etcd_answers_as_an_ordinary_user_on_a_read_only_root(daemon: Containerd) -> None:
    rights = ("--read-only", "--mount", "type=tmpfs,src=tmpfs,dst=/tmp,options=rw")
    daemon.start("etcd", f"{ETCD}:{version()}", rights, "etcd", "--data-dir", "/tmp/etcd")

    def asked(*arguments: str) -> str:
        return daemon.exec_program("etcd", "etcdctl", *arguments).stdout

    assert eventually(lambda: asked("put", "a", "b") == "OK\n", 30)
    assert asked("get", "a", "--print-value-only") == "b\n"
    assert "etcdctl version: 3." in asked("version")
    (pid,) = daemon.main_processes("etcd")
    status = Path(f"/proc/{pid}/status").read_text()
    assert re.search(rf"^Uid:\t{contents.ETCD_USER}\t", status, re.MULTILINE)
