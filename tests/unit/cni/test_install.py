from __future__ import annotations

import json
from pathlib import Path

import pytest

from cni import install as module
from cni import netconf
from cni.install import CONFLIST_NAME, PLUGIN_NAME, conflist, install
from cni.settings import CniSettings, Settings
from felix_py.runtime.settings import BadSettings, load


@pytest.fixture
def shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "built"
    path.write_bytes(b"\x7fELF")
    monkeypatch.setattr(module, "SHIM", path)
    return path


def _settings(tmp_path: Path) -> CniSettings:
    return CniSettings(bin_dir=str(tmp_path / "bin"), conf_dir=str(tmp_path / "net.d"))


def test_shim_and_conflist_are_put_in_place(tmp_path: Path, shim: Path) -> None:
    install(_settings(tmp_path))
    plugin = tmp_path / "bin" / PLUGIN_NAME
    assert plugin.read_bytes() == shim.read_bytes()
    assert plugin.stat().st_mode & 0o777 == 0o755
    written = json.loads((tmp_path / "net.d" / CONFLIST_NAME).read_text("utf-8"))
    assert [plugin["type"] for plugin in written["plugins"]] == ["felix-py"]
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == [PLUGIN_NAME]


def test_portmap_follows_where_the_host_has_it(tmp_path: Path, shim: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "portmap").touch()
    install(_settings(tmp_path))
    written = json.loads((tmp_path / "net.d" / CONFLIST_NAME).read_text("utf-8"))
    assert [plugin["type"] for plugin in written["plugins"]] == ["felix-py", "portmap"]


def test_unchanged_files_are_left_alone(tmp_path: Path, shim: Path) -> None:
    install(_settings(tmp_path))
    plugin = tmp_path / "bin" / PLUGIN_NAME
    before = plugin.stat().st_ino
    install(_settings(tmp_path))
    assert plugin.stat().st_ino == before
    shim.write_bytes(b"newer")
    install(_settings(tmp_path))
    assert plugin.read_bytes() == b"newer"


def test_what_cannot_be_installed_is_named(tmp_path: Path, shim: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(BadSettings, match="felix-py"):
        install(CniSettings(bin_dir=str(blocked)))
    shim.unlink()
    with pytest.raises(BadSettings, match="C compiler"):
        install(_settings(tmp_path))


def test_nothing_is_installed_unless_asked_for(tmp_path: Path) -> None:
    install(CniSettings())
    assert list(tmp_path.iterdir()) == []


def test_the_conflist_is_one_that_we_serve() -> None:
    [plugin] = json.loads(conflist(CniSettings(), with_portmap=False))["plugins"]
    assert plugin == {"type": "felix-py", "ipam": {"type": "felix-py"}, "policy": {"type": "k8s"}}


@pytest.mark.parametrize(
    ("assign_ipv4", "assign_ipv6", "families"),
    [(True, False, (4,)), (True, True, (4, 6)), (False, True, (6,))],
)
def test_the_conflist_asks_for_the_families_of_the_settings(
    assign_ipv4: bool,  # noqa: FBT001
    assign_ipv6: bool,  # noqa: FBT001
    families: tuple[int, ...],
) -> None:
    settings = CniSettings(assign_ipv4=assign_ipv4, assign_ipv6=assign_ipv6)
    network = json.loads(conflist(settings, with_portmap=False))
    [plugin] = network["plugins"]
    parsed = netconf.parse({**plugin, "name": network["name"], "cniVersion": "1.0.0"})
    assert parsed.families == families


def test_shim_and_server_read_the_same_variable(tmp_path: Path) -> None:
    settings = load(Settings, tmp_path / "none", {"FELIX_PY_CNI_SOCKET": "/x/y.sock"})
    assert str(settings.socket_path) == "/x/y.sock"
    assert str(load(Settings, tmp_path / "none", {}).socket_path) == "/run/felix-py/cni.sock"
