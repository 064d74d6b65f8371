from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from felix_py.kube_api import access
from felix_py.kube_api.access import NoAccess
from felix_py.kube_api.settings import KubernetesSettings


def _kubeconfig(directory: Path, user: dict[str, str], server: str = "https://api:6443") -> str:
    document: dict[str, Any] = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(document), "utf-8")
    return str(path)


def test_a_kubeconfig_says_where_and_who(tmp_path: Path) -> None:
    path = _kubeconfig(tmp_path, {"token": "secret"})
    found = access.find(KubernetesSettings(kubeconfig=path), {})
    assert found.url == "https://api:6443"
    assert found.headers() == {"Authorization": "Bearer secret"}
    other = KubernetesSettings(kubeconfig=path, api_server="https://[fd00::1]:6443")
    assert access.find(other, {}).url == "https://[fd00::1]:6443"


def test_a_token_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    path = _kubeconfig(tmp_path, {"tokenFile": "token"})
    found = access.find(KubernetesSettings(kubeconfig=path), {})
    assert found.headers() == {"Authorization": "Bearer first"}
    (tmp_path / "token").write_text("second\n")
    assert found.headers() == {"Authorization": "Bearer second"}
    (tmp_path / "token").unlink()
    with pytest.raises(NoAccess, match="token"):
        found.headers()


def test_what_leads_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoAccess, match="KUBERNETES_SERVICE_HOST"):
        access.find(KubernetesSettings(), {})
    with pytest.raises(NoAccess, match="nothing-here"):
        access.find(KubernetesSettings(kubeconfig=str(tmp_path / "nothing-here")), {})
    with pytest.raises(NoAccess, match="neither a client certificate nor a token"):
        access.find(KubernetesSettings(kubeconfig=_kubeconfig(tmp_path, {})), {})
    pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(NoAccess, match=r"ca\.crt"):
        access.find(KubernetesSettings(), pod)
