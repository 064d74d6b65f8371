"""What goes into an image, decided without one."""

from __future__ import annotations

import io
import zipfile

import pytest

from felix_py.lab import oci
from felix_py.lab.oci import PLAIN, PROGRAM, Entry, Settings
from image import check, contents, debian, wheels
from image.errors import ImageError

NAME = "docker.io/x/y:1"


def test_paths_of_packages_are_where_a_merged_usr_has_them() -> None:
    assert debian.merged("./lib/x86_64-linux-gnu/libc.so.6") == "usr/lib/x86_64-linux-gnu/libc.so.6"
    assert debian.merged("./usr/bin/etcd") == "usr/bin/etcd"
    assert debian.merged("./library/x") == "library/x"


NEEDED = (
    "usr/bin/python3.11",
    "usr/lib/x86_64-linux-gnu/libc.so.6",
    "usr/lib/python3.11/encodings/utf_8.py",
    "usr/share/doc/libc6/copyright",
    "usr/lib/cni/portmap",
)
NOT_NEEDED = (
    "usr/lib/x86_64-linux-gnu/gconv/UTF-16.so",
    "usr/lib/python3.11/encodings/cp1252.py",
    "usr/lib/python3.11/ensurepip/__init__.py",
    "usr/share/doc/libc6/changelog.gz",
    "usr/share/man/man8/nft.8.gz",
    "usr/lib/cni/host-local",
    "usr/bin/iptables-xml",
    "etc/nftables.conf",
    "lib/systemd/system/nftables.service",
)


def test_of_debian_stays_what_a_node_needs() -> None:
    assert set(contents.kept(dict.fromkeys(NEEDED + NOT_NEEDED, Entry(b"")))) == set(NEEDED)


def test_of_wheels_stays_what_a_node_needs_and_the_lab_does_not() -> None:
    paths = [
        "felix_py/lab/main.py",
        "bgp/main.py",
        "x/tests/y.py",
        "pygments/lexers/python.py",
        "a.pyi",
    ]
    kept = contents.python_kept(dict.fromkeys(paths, Entry(b"")))
    root = contents.PYTHON_PACKAGES
    assert set(kept) == {f"{root}/bgp/main.py", f"{root}/pygments/lexers/python.py"}


def test_plugins_are_where_runtimes_look() -> None:
    assert set(
        contents.plugins({"usr/lib/cni/portmap": Entry(b""), "usr/bin/nft": Entry(b"")})
    ) == {
        "opt/cni/bin/portmap",
        "usr/bin/nft",
    }


def test_a_wheel_gives_its_modules_with_their_modes_and_its_scripts_are_made_anew() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("felix_py/x.py", b"x")
        program = zipfile.ZipInfo("cni/shim/felix-py")
        program.external_attr = 0o755 << 16
        archive.writestr(program, b"ELF")
        archive.writestr("felix_py-1.data/purelib/more.py", b"y")
        archive.writestr("felix_py-1.data/scripts/felixctl", b"#!/some/python")
        archive.writestr("felix_py-1.dist-info/RECORD", b"")
        points = b"[console_scripts]\nfelixctl = felix_py.ctl.main:main\nfelix-lab = l:main\n"
        archive.writestr("felix_py-1.dist-info/entry_points.txt", points)
    tree = wheels.unpack(buffer.getvalue())
    assert set(tree) == {
        *("felix_py/x.py", "cni/shim/felix-py", "more.py"),
        "felix_py-1.dist-info/entry_points.txt",
    }
    assert (tree["felix_py/x.py"].mode, tree["cni/shim/felix-py"].mode) == (PLAIN, PROGRAM)
    made = contents.scripts(wheels.scripts(tree, "felix_py"))
    assert set(made) == {"usr/local/bin/felixctl"}
    content = made["usr/local/bin/felixctl"].content
    assert isinstance(content, bytes)
    assert b"from felix_py.ctl.main import main\n" in content


@pytest.mark.parametrize(
    "other",
    [
        {"bin/a": Entry(b"b", PROGRAM), "bin/c": Entry("a")},
        {"bin/a": Entry(b"a", PLAIN), "bin/c": Entry("a")},
        {"bin/a": Entry(b"a", PROGRAM), "bin/c": Entry("b")},
        {"bin/a": Entry(b"a", PROGRAM)},
        {"bin/a": Entry(b"a", PROGRAM), "bin/c": Entry("a"), "d": Entry(None)},
    ],
    ids=["content", "mode", "target", "absent", "directory"],
)
def test_any_change_changes_the_digest_and_the_order_does_not(other: oci.Tree) -> None:
    tree = {"bin/a": Entry(b"a", PROGRAM), "bin/c": Entry("a")}
    digest = oci.image(NAME, [tree], Settings()).digest
    assert oci.image(NAME, [dict(reversed(tree.items()))], Settings()).digest == digest
    assert oci.image(NAME, [other], Settings()).digest != digest
    assert oci.image(NAME, [tree], Settings(), at=1).digest != digest
    assert oci.image(NAME, [tree], Settings(labels={"a": "b"})).digest != digest


def test_a_link_to_what_was_not_chosen_is_named_with_its_target() -> None:
    tree = {
        "usr/lib/a.so": Entry(b"x"),
        "usr/lib/b.so": Entry("a.so"),
        "usr/lib64/c.so": Entry("/lib/a.so"),
        "lib": Entry("usr/lib"),
        "etc/d": Entry("../usr/lib/gone"),
    }
    with pytest.raises(ImageError, match=r": usr/lib/gone \(etc/d\)$"):
        check.complete(tree)
