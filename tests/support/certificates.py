"""A throw-away certificate authority with one server and one client certificate, by the openssl CLI."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

SERVER_NAMES = "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost"


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files in one directory."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


def make_certificates(directory: Path, client_name: str = "felix-py") -> Certificates:
    """Write a CA, a certificate for a server on the loopback and one for a client."""
    directory.mkdir(parents=True, exist_ok=True)
    ca, ca_key = directory / "ca.pem", directory / "ca.key"
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", str(ca_key), "-out", str(ca), "-days", "2", "-subj", "/CN=test authority"),
    )
    server = _issue(directory, "server", "etcd", (ca, ca_key), SERVER_NAMES)
    client = _issue(directory, "client", client_name, (ca, ca_key), "extendedKeyUsage=clientAuth")
    return Certificates(ca, *server, *client)


def _issue(
    directory: Path, stem: str, common_name: str, authority: tuple[Path, Path], extension: str
) -> tuple[Path, Path]:
    certificate, key = directory / f"{stem}.pem", directory / f"{stem}.key"
    request, extensions = directory / f"{stem}.csr", directory / f"{stem}.ext"
    extensions.write_text(extension + "\n", "ascii")
    _openssl(
        *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", str(key), "-out", str(request), "-subj", f"/CN={common_name}"),
    )
    _openssl(
        *("x509", "-req", "-in", str(request), "-CA", str(authority[0]), "-CAkey"),
        *(str(authority[1]), "-CAcreateserial", "-out", str(certificate), "-days", "2"),
        *("-extfile", str(extensions)),
    )
    return certificate, key


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
