"""An authority of our own and what it signs, with openssl: the adapter.

The authority signs for nobody but the etcd inside and its clients.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from felix_py.install.configuration import is_address
from felix_py.runtime.errors import RefusedError

DAYS = "3650"
"""Ten years: nothing renews them by itself (docs/kubernetes.md says how it is done)."""
RENEW_SECONDS = 90 * 86_400
"""A certificate that ends within this time is made anew when the installation runs."""
SECONDS = 60.0
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
CONFIGURATION = """\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes


def authority(name: str) -> Pair:
    """A new one."""
    with _place() as place:
        _openssl(
            place, "req", "-x509", *NEW_KEY, "-days", DAYS, "-subj", f"/CN={name}",
            "-extensions", "authority", "-keyout", "key", "-out", "crt",
        )  # fmt: skip
        return _read(place)


def signed(by: Pair, common_name: str, names: Sequence[str] = ()) -> Pair:
    """A client's certificate; with names a server's, which other servers ask as a client, too."""
    lines = [
        "basicConstraints = critical, CA:FALSE",
        "keyUsage = critical, digitalSignature",
        f"extendedKeyUsage = {'serverAuth, clientAuth' if names else 'clientAuth'}",
    ]
    if names:
        kinds = ("IP" if is_address(name) else "DNS" for name in names)
        listed = ",".join(f"{kind}:{name}" for kind, name in zip(kinds, names, strict=True))
        lines.append(f"subjectAltName = {listed}")
    with _place() as place:
        (place / "ca.crt").write_bytes(by.certificate)
        (place / "ca.key").write_bytes(by.key)
        (place / "extra").write_text("\n".join(lines) + "\n")
        _openssl(
            place, "req", "-new", *NEW_KEY, "-subj", f"/CN={common_name}",
            "-keyout", "key", "-out", "request",
        )  # fmt: skip
        _openssl(
            place, "x509", "-req", "-days", DAYS, "-in", "request", "-CA", "ca.crt",
            "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extra", "-out", "crt",
        )  # fmt: skip
        return _read(place)


def serves(certificate: bytes, by: bytes, names: Sequence[str]) -> bool:
    """Whether it lasts, was signed by this authority, and stands for all these names."""
    with _place() as place:
        (place / "crt").write_bytes(certificate)
        (place / "ca.crt").write_bytes(by)
        try:
            _openssl(place, "x509", "-in", "crt", "-noout", "-checkend", str(RENEW_SECONDS))
            _openssl(place, "verify", "-CAfile", "ca.crt", "crt")
            for name in names:
                option = "-checkip" if is_address(name) else "-checkhost"
                told = _openssl(place, "x509", "-in", "crt", "-noout", option, name)
                if "does NOT match" in told:
                    return False
        except RefusedError:
            return False
        return True


@contextmanager
def _place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="felix-py-") as name:
        place = Path(name)
        (place / "configuration").write_text(CONFIGURATION)
        yield place


def _openssl(place: Path, verb: str, *arguments: str) -> str:
    config = ("-config", "configuration") if verb == "req" else ()
    try:
        done = subprocess.run(
            ["openssl", verb, *config, *arguments],
            cwd=place,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RefusedError(f"openssl {verb}: cannot be run: {error}") from error
    if done.returncode:
        raise RefusedError(f"openssl {verb}: {' '.join(done.stderr.split())[:500]}")
    return done.stdout


def _read(place: Path) -> Pair:
    return Pair((place / "crt").read_bytes(), (place / "key").read_bytes())
