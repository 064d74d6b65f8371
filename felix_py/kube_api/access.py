"""Where the API server is and who we are to it: a pod's service account, or a kubeconfig.

A service account's token is renewed by kubelet every hour in the same file: it is read again when the
file changed. Both files' absence is said by name.
"""

from __future__ import annotations

import ssl
import tempfile
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from felix_py.kube_api.settings import KubernetesSettings
from felix_py.runtime.errors import RefusedError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class NoAccess(RefusedError):
    """The settings do not lead to an API server; the text names what is missing."""


@dataclass(frozen=True, slots=True)
class Access:
    """url without a path; token_file is read for every request, empty where a certificate speaks."""

    url: str
    tls: ssl.SSLContext
    token_file: str = ""
    token: str = ""

    def headers(self) -> dict[str, str]:
        """Who we are, for one request. Raises NoAccess."""
        token = self.token
        if self.token_file:
            try:
                token = Path(self.token_file).read_text("ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise NoAccess(f"{self.token_file}: cannot be read: {error}") from error
        return {"Authorization": f"Bearer {token}"} if token else {}


def find(settings: KubernetesSettings, environ: Mapping[str, str]) -> Access:
    """The kubeconfig's, if one is named; else this pod's service account. Raises NoAccess."""
    if settings.kubeconfig:
        return _of_kubeconfig(Path(settings.kubeconfig), settings.api_server)
    url = settings.api_server or _url_of_pod(environ)
    authority = SERVICE_ACCOUNT / "ca.crt"
    return Access(url, _context(authority), token_file=str(SERVICE_ACCOUNT / "token"))


def _url_of_pod(environ: Mapping[str, str]) -> str:
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    port = environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise NoAccess(
            "kubernetes: no API server: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set "
            "(not in a pod?); set kubernetes.apiServer or kubernetes.kubeconfig"
        )
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _of_kubeconfig(path: Path, url: str) -> Access:
    """The current context of a kubeconfig. exec plug-ins and passwords are not served."""
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        context = _named(document, "contexts", document["current-context"])["context"]
        cluster = _named(document, "clusters", context["cluster"])["cluster"]
        user = _named(document, "users", context["user"]).get("user") or {}
        server = url or cluster["server"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise NoAccess(f"{path}: cannot be read as YAML: {error}") from error
    except (KeyError, TypeError, LookupError) as error:
        raise NoAccess(f"{path}: {error} is missing; is it a kubeconfig?") from error
    if not any(
        f"{name}{kind}" in user
        for name in ("client-certificate", "token")
        for kind in ("", "-data", "File")
    ):
        raise NoAccess(f"{path}: its user has neither a client certificate nor a token")
    base = path.parent
    tls = _context(_file(base, cluster, "certificate-authority"))
    if "client-certificate" in user or "client-certificate-data" in user:
        _identify(tls, base, user)
    token_file = str(base / user["tokenFile"]) if user.get("tokenFile") else ""
    return Access(server.rstrip("/"), tls, token_file, user.get("token", ""))


def _named(document: Any, section: str, name: str) -> dict[str, Any]:  # noqa: ANN401  YAML
    found = [each for each in document[section] if each["name"] == name]
    if not found:
        raise LookupError(f"{section}: {name!r}")
    return dict(found[0])


def _file(base: Path, holder: Mapping[str, str], name: str) -> Path | bytes:
    """A file that a kubeconfig names, or its content where it holds that itself."""
    if f"{name}-data" in holder:
        return b64decode(holder[f"{name}-data"])
    return base / holder[name] if name in holder else b""


def _context(authority: Path | bytes) -> ssl.SSLContext:
    """TLS that trusts this authority alone; empty: the host's authorities."""
    context = ssl.create_default_context()
    if not authority:
        return context
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if isinstance(authority, bytes):
            context.load_verify_locations(cadata=authority.decode("ascii"))
        else:
            context.load_verify_locations(cafile=str(authority))
    except (OSError, UnicodeDecodeError) as error:
        raise NoAccess(f"{_told(authority)}: not a certificate authority: {error}") from error
    return context


def _identify(tls: ssl.SSLContext, base: Path, user: Mapping[str, str]) -> None:
    """Load a client certificate; the standard library takes it from files only."""
    with tempfile.TemporaryDirectory(prefix="felix-py-") as place:
        names: list[str] = []
        for name in ("client-certificate", "client-key"):
            found = _file(base, user, name)
            if isinstance(found, bytes):
                held = Path(place, name)
                held.touch(mode=0o600)
                held.write_bytes(found)
                found = held
            names.append(str(found))
        try:
            tls.load_cert_chain(*names)
        except OSError as error:
            raise NoAccess(f"{names[0]}: not a client certificate: {error}") from error


def _told(authority: Path | bytes) -> str:
    return "certificate-authority-data" if isinstance(authority, bytes) else str(authority)
