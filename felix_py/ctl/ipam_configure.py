"""`felixctl ipam configure`: the one IPAM configuration object."""

from __future__ import annotations

import dataclasses

from felix_py.ctl.connection import Session
from felix_py.ctl.errors import CommandError, Conflict
from felix_py.datastore.codec import decode
from felix_py.datastore.keys import IPAMConfigKey
from felix_py.datastore.model import IPAMConfig
from felix_py.datastore.store import Store
from ipam.admin import set_ipam_config
from ipam.errors import BadRequest, GaveUp
from ipam.office import Office


def configure(
    session: Session,
    strict_affinity: str = "",
    auto_allocate_blocks: str = "",
    max_blocks_per_host: int | None = None,
) -> str:
    """Change what is given, keep the rest; what holds now, as text. Raises CommandError, Conflict."""
    with session.store() as store:
        before = _stored(store)
        changed = dataclasses.replace(
            before,
            strict_affinity=_flag("--strictaffinity", strict_affinity, before.strict_affinity),
            auto_allocate_blocks=_flag(
                "--auto-allocate-blocks", auto_allocate_blocks, before.auto_allocate_blocks
            ),
            max_blocks_per_host=before.max_blocks_per_host
            if max_blocks_per_host is None
            else max_blocks_per_host,
        )
        if changed == before:
            return _shown(before)
        try:
            set_ipam_config(Office(store), changed)
        except BadRequest as error:
            raise CommandError(f"IPAM configuration not changed: {error}") from error
        except GaveUp as error:
            raise Conflict(f"IPAM configuration not changed: {error}") from error
    return _shown(changed)


def _stored(store: Store) -> IPAMConfig:
    """What is stored, else the defaults. Raises CommandError for an unreadable one."""
    key = IPAMConfigKey()
    item = store.get(key.path)
    if item is None:
        return IPAMConfig()
    value = decode(key, item.value)
    if not isinstance(value, IPAMConfig):
        raise CommandError(f"{key.path} cannot be read: {value}; correct or delete the key")
    return value


def _shown(config: IPAMConfig) -> str:
    return (
        f"strictaffinity: {str(config.strict_affinity).lower()}, "
        f"auto-allocate-blocks: {str(config.auto_allocate_blocks).lower()}, "
        f"max-blocks-per-host: {config.max_blocks_per_host or 'the default'}"
    )


def _flag(option: str, text: str, unchanged: bool) -> bool:  # noqa: FBT001  the value itself
    if not text:
        return unchanged
    if text not in {"true", "false"}:
        raise CommandError(f"{option} {text!r}: say true or false")
    return text == "true"
