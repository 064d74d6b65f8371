"""etcd's users and roles, by the same connection as the store. Every call may be repeated."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Self

from felix_py.datastore import etcd_messages
from felix_py.datastore.etcd_channel import Cluster, Member, Metadata
from felix_py.datastore.etcd_protobuf import Message, rpc
from felix_py.datastore.settings import DatastoreSettings

READ, WRITE, READWRITE = 0, 1, 2
"""authpb.Permission.Type."""
Permission = tuple[int, str, bool]
"""What may be done, the key, and whether it stands for all keys that begin with it."""


class EtcdUsers:
    """Administration of one etcd, as a user of the role root (or before there are users)."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @classmethod
    def connect(cls, settings: DatastoreSettings) -> Self:
        """By the datastore's settings. Raises StoreRefused when they cannot be used."""
        return cls(Cluster(settings))

    def close(self) -> None:
        """Close the connection."""
        self._cluster.close()

    def have_role(self, name: str, permissions: Iterable[Permission]) -> bool:
        """Have a role with exactly these permissions; True: something was changed."""
        wanted = {_key(each) for each in permissions}
        changed = name not in self._ask("RoleList", rpc.AuthRoleListRequest()).roles
        if changed:
            self._ask("RoleAdd", rpc.AuthRoleAddRequest(name=name))
        standing = {
            (perm.permType, perm.key, perm.range_end)
            for perm in self._ask("RoleGet", rpc.AuthRoleGetRequest(role=name)).perm
        }
        for _, key, end in standing - wanted:
            request = rpc.AuthRoleRevokePermissionRequest(
                role=name, key=key.decode(), range_end=end.decode()
            )
            self._ask("RoleRevokePermission", request)
        for kind, key, end in wanted - standing:
            perm = {"permType": kind, "key": key, "range_end": end}
            request = rpc.AuthRoleGrantPermissionRequest(name=name, perm=perm)
            self._ask("RoleGrantPermission", request)
        return changed or standing != wanted

    def have_root(self, name: str) -> None:
        """The role that may do everything; etcd knows what that is."""
        if name not in self._ask("RoleList", rpc.AuthRoleListRequest()).roles:
            self._ask("RoleAdd", rpc.AuthRoleAddRequest(name=name))

    def have_user(self, name: str, role: str) -> bool:
        """Have a user with this role, who proves who he is by certificate; True: it was changed.

        etcd 3.4 wants a password of everybody: nobody knows this one.
        """
        users = self._ask("UserList", rpc.AuthUserListRequest()).users
        if name not in users:
            password = secrets.token_hex(32)
            self._ask("UserAdd", rpc.AuthUserAddRequest(name=name, password=password))
        held = self._ask("UserGet", rpc.AuthUserGetRequest(name=name)).roles
        if role in held:
            return name not in users
        self._ask("UserGrantRole", rpc.AuthUserGrantRoleRequest(user=name, role=role))
        return True

    def enable(self) -> None:
        """From now on etcd asks who somebody is; it was so before: fine."""
        self._ask("AuthEnable", rpc.AuthEnableRequest())

    def _ask(self, verb: str, request: Message) -> Message:
        def invoke(member: Member, seconds: float, metadata: Metadata) -> Message:
            call: Callable[..., Message] = getattr(member.auth, verb)
            return call(request, timeout=seconds, metadata=metadata)

        return self._cluster.write(invoke)


def _key(permission: Permission) -> tuple[int, bytes, bytes]:
    kind, key, is_prefix = permission
    if not is_prefix:
        return kind, key.encode(), b""
    return kind, etcd_messages.prefix_start(key), etcd_messages.prefix_end(key)
