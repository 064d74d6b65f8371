from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from cni import conflist
from cni import install as module
from cni.conflist import CONFLIST_NAME, PLUGIN_NAME
from cni.install import RECEIPT, install, install_shim, uninstall
from cni.settings import CniSettings
from felix_py.runtime.settings import BadSettings


@dataclass
class Host:
    """A host's folders, and what the image holds."""

    directory: Path

    @property
    def bin(self) -> Path:
        """The host's plugins."""
        return self.directory / "bin"

    @property
    def networks(self) -> Path:
        """The host's networks."""
        return self.directory / "net.d"

    @property
    def image(self) -> Path:
        """The image's plugins."""
        return self.directory / "image"

    @property
    def settings(self) -> CniSettings:
        """Which folder is what."""
        return CniSettings(
            bin_dir=str(self.bin), conf_dir=str(self.networks), plugin_dir=str(self.image)
        )

    def names(self) -> list[str]:
        """The host's plugins by name."""
        return sorted(path.name for path in self.bin.iterdir())


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(module, "SHIM", tmp_path / "nothing was compiled")
    made = Host(tmp_path)
    for folder in (made.bin, made.networks, made.image):
        folder.mkdir()
    for name in (PLUGIN_NAME, "portmap", "bandwidth", "loopback", "host-local"):
        (made.image / name).write_bytes(f"our {name}".encode())
    with structlog.testing.capture_logs():
        yield made


def test_shim_and_reference_plugins_are_put_in_place_and_no_conflist(host: Host) -> None:
    install(host.settings)
    assert host.names() == [RECEIPT, "bandwidth", "felix-py", "loopback", "portmap"]
    assert (host.bin / PLUGIN_NAME).read_bytes() == b"our felix-py"
    assert all(
        (host.bin / name).stat().st_mode & 0o777 == 0o755
        for name in (PLUGIN_NAME, "portmap", "bandwidth", "loopback")
    )
    assert list(host.networks.iterdir()) == []


def test_a_plugin_that_the_host_has_is_left_alone_and_outlives_us(host: Host) -> None:
    (host.bin / "portmap").write_bytes(b"the host's")
    install(host.settings)
    install(host.settings)
    assert (host.bin / "portmap").read_bytes() == b"the host's"
    uninstall(host.settings)
    assert host.names() == ["portmap"]


def test_a_newer_image_renews_what_the_older_one_put_there(host: Host) -> None:
    install(host.settings)
    (host.image / "portmap").write_bytes(b"our newer portmap")
    (host.image / PLUGIN_NAME).write_bytes(b"our newer shim")
    install(host.settings)
    assert (host.bin / "portmap").read_bytes() == b"our newer portmap"
    assert (host.bin / PLUGIN_NAME).read_bytes() == b"our newer shim"
    uninstall(host.settings)
    assert host.names() == []


def test_a_plugin_that_somebody_replaced_since_is_theirs(host: Host) -> None:
    install(host.settings)
    (host.bin / "loopback").write_bytes(b"an administrator's")
    install(host.settings)
    uninstall(host.settings)
    assert host.names() == ["loopback"]
    assert (host.bin / "loopback").read_bytes() == b"an administrator's"


def test_unchanged_files_are_left_alone(host: Host) -> None:
    install(host.settings)
    before = {path.name: path.stat().st_ino for path in host.bin.iterdir()}
    install(host.settings)
    install_shim(host.settings)
    assert {path.name: path.stat().st_ino for path in host.bin.iterdir()} == before


def test_reference_plugins_stay_while_another_network_may_call_them(host: Host) -> None:
    install(host.settings)
    (host.networks / CONFLIST_NAME).write_text(conflist.render(host.settings, ()))
    (host.networks / "20-other.conflist").write_text("{}")
    uninstall(host.settings)
    assert [path.name for path in host.networks.iterdir()] == ["20-other.conflist"]
    assert host.names() == [RECEIPT, "bandwidth", "loopback", "portmap"]
    (host.networks / "20-other.conflist").unlink()
    uninstall(host.settings)
    assert host.names() == []


@pytest.mark.parametrize("text", ['{"plugins": [{"type": "felix-py"}]}', "{}", ""])
def test_a_conflist_without_our_mark_is_not_removed(host: Host, text: str) -> None:
    (host.networks / CONFLIST_NAME).write_text(text)
    uninstall(host.settings)
    assert (host.networks / CONFLIST_NAME).read_text() == text


def test_removing_twice_or_from_nothing_is_fine(host: Host) -> None:
    uninstall(host.settings)
    install(host.settings)
    uninstall(host.settings)
    uninstall(host.settings)
    host.networks.rmdir()
    uninstall(host.settings)
    assert host.names() == []


def test_what_cannot_be_installed_is_named(host: Host) -> None:
    with pytest.raises(BadSettings, match=r"cni\.binDir"):
        install(CniSettings())
    blocked = host.directory / "file"
    blocked.touch()
    with pytest.raises(BadSettings, match=str(blocked)):
        install(CniSettings(bin_dir=str(blocked), plugin_dir=str(host.image)))
    (host.image / PLUGIN_NAME).unlink()
    with pytest.raises(BadSettings, match="C compiler"):
        install(host.settings)


def test_a_server_without_a_folder_installs_nothing(tmp_path: Path) -> None:
    install_shim(CniSettings())
    assert list(tmp_path.iterdir()) == []
