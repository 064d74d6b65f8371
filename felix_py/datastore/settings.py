"""The `datastore` section: where etcd is and how we identify ourselves to it."""

from __future__ import annotations

import msgspec


class DatastoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Endpoints are URLs; https needs no client certificate, but `caCertFile` to check the server."""

    endpoints: list[str] = msgspec.field(default_factory=lambda: ["http://127.0.0.1:2379"])
    """Tried in turn; all members of one etcd cluster."""
    ca_cert_file: str = ""
    """PEM of the authority that signed the servers' certificates."""
    cert_file: str = ""
    """PEM of our client certificate; goes with keyFile."""
    key_file: str = ""
    username: str = ""
    """Goes with passwordFile."""
    password_file: str = ""
    """A file whose first line is the password; never written to a log."""
    timeout_seconds: float = 5.0
    """The bound of every single call."""
    compaction_seconds: int = 0
    """Have the nodes forget etcd's history older than this, one of them at a time; 0: etcd compacts
    itself (--auto-compaction-retention), or somebody else does."""
