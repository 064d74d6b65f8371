"""Certificates for an etcd that asks its clients for theirs, made with openssl for one lab."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from felix_py.lab.namespaces import run

DAYS = "30"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where they lie, PEM each."""

    ca: Path
    ca_key: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def paths(directory: Path) -> Certificates:
    """The files of a directory."""
    names = ("ca.pem", "ca-key.pem", "server.pem", "server-key.pem", "client.pem", "client-key.pem")
    return Certificates(*(directory / name for name in names))


def make(directory: Path, address: str) -> Certificates:
    """An authority, a server certificate for this address, and a client certificate."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    made = paths(directory)
    run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", DAYS, "-subj", "/CN=lab", "-keyout", str(made.ca_key),
         "-out", str(made.ca)]
    )  # fmt: skip
    usage = "serverAuth,clientAuth"
    _sign(
        made, made.server, made.server_key, f"subjectAltName=IP:{address}\nextendedKeyUsage={usage}"
    )
    _sign(made, made.client, made.client_key, "extendedKeyUsage=clientAuth")
    return made


def _sign(made: Certificates, certificate: Path, key: Path, extensions: str) -> None:
    request, extra = certificate.with_suffix(".csr"), certificate.with_suffix(".ext")
    extra.write_text(extensions + "\n")
    run(
        ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", f"/CN={certificate.stem}", "-keyout", str(key), "-out", str(request)]
    )  # fmt: skip
    run(
        ["openssl", "x509", "-req", "-days", DAYS, "-in", str(request), "-CA", str(made.ca),
         "-CAkey", str(made.ca_key), "-CAcreateserial", "-extfile", str(extra),
         "-out", str(certificate)]
    )  # fmt: skip
