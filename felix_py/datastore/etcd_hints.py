"""What to do about an etcd that cannot be reached, by what gRPC says of the connection. Pure.

Texts as gRPC 1.6x to 1.7x writes them; one that is not known gets no advice.
"""

from __future__ import annotations

ADVICE = (
    (
        "CERTIFICATE_VERIFY_FAILED",
        "etcd's certificate was not signed by the authority in datastore.caCertFile",
    ),
    (
        "is not in peer certificate",
        "etcd's certificate does not stand for this host: give it that name, or use another endpoint",
    ),
    (
        "TSI_DATA_CORRUPTED",
        "etcd refuses our certificate: datastore.certFile must be signed by its authority, and be there",
    ),
    (
        "security handshaker",
        "datastore.certFile, keyFile and caCertFile must be PEM, and the key the certificate's",
    ),
    (
        "Handshake read failed",
        "if etcd speaks without TLS there, write http:// in datastore.endpoints",
    ),
    ("Domain name not found", "this host does not resolve the name: write etcd's address"),
    ("Socket closed", "if etcd speaks TLS there, write https:// in datastore.endpoints"),
    (
        "Connection refused",
        "nothing listens there: is etcd running, is datastore.endpoints right?",
    ),
)
"""What is found in a text, and what helps; the first that fits."""


def advised(text: str) -> str:
    """The text, and advice where there is some."""
    found = next((advice for part, advice in ADVICE if part in text), "")
    return f"{text} ({found})" if found else text
