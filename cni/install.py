"""What an init container does: shim and reference plugins into the host's folder, and their removal.

The conflist is not written here: a runtime that sees it calls the plugin (conflist_writer.py).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import structlog

from cni import conflist, durable_file, host_files
from cni.conflist import CONFLIST_NAME, PLUGIN_NAME, Whose
from cni.settings import CniSettings
from felix_py.runtime.settings import BadSettings

log = structlog.get_logger(__name__)

SHIM = Path(__file__).parent / "shim" / PLUGIN_NAME
REFERENCE_PLUGINS = ("portmap", "bandwidth", "loopback")
RECEIPT = ".felix-py.json"
"""In the plugins' folder: which reference plugins came from us, and what they were."""


MAX_DIGESTS = 8
"""Versions of one plugin that are remembered; an older one would count as the host's own."""


class Receipt(msgspec.Struct, frozen=True):
    """plugins: name -> SHA-256 of each version that we put there; another file is not ours (any more).

    Written before the file is: whenever we die, what stands is in it.
    """

    plugins: dict[str, list[str]] = {}


def install_shim(settings: CniSettings) -> None:
    """The shim, if `cni.binDir` names a folder; an unchanged one is left alone. Raises BadSettings."""
    if settings.bin_dir:
        _placed(Path(settings.bin_dir) / PLUGIN_NAME, _shim(settings).read_bytes())


def install(settings: CniSettings) -> None:
    """The shim, and each reference plugin that the host lacks. Raises BadSettings."""
    if not settings.bin_dir:
        raise BadSettings("cni.binDir: name the folder in which the runtime looks for plugins")
    install_shim(settings)
    target, source = Path(settings.bin_dir), Path(settings.plugin_dir)
    receipt = dict(_receipt(target).plugins)
    for name in REFERENCE_PLUGINS:
        content = host_files.read(source / name)
        standing = host_files.read(target / name)
        ours, digest = receipt.get(name, []), _digest(content or b"")
        if content is None or (standing is not None and _digest(standing) not in ours):
            continue  # the host has one of its own, or we have none to give
        if digest not in ours:
            receipt[name] = [*ours, digest][-MAX_DIGESTS:]
            durable_file.write(target / RECEIPT, Receipt(receipt), sync=True)
        _placed(target / name, content)


def uninstall(settings: CniSettings) -> None:
    """Take away what is ours, the conflist first. Raises BadSettings.

    While another network's configuration stands, the reference plugins stay: it may call them.
    """
    if settings.conf_dir:
        _remove_conflist(Path(settings.conf_dir) / CONFLIST_NAME)
    if not settings.bin_dir:
        return
    target = Path(settings.bin_dir)
    others = conflist.networks(host_files.names_in(Path(settings.conf_dir or "/nowhere")))
    if others:
        log.info("reference plugins stay, another network may call them", network=others[0])
    else:
        for name, digests in _receipt(target).plugins.items():
            standing = host_files.read(target / name)
            if name in REFERENCE_PLUGINS and standing is not None and _digest(standing) in digests:
                _removed(target / name)
        _removed(target / RECEIPT)
    _removed(target / PLUGIN_NAME)


def _shim(settings: CniSettings) -> Path:
    for path in (SHIM, Path(settings.plugin_dir) / PLUGIN_NAME):
        if path.exists():
            return path
    raise BadSettings(f"{SHIM}: missing; install the package with a C compiler at hand")


def _remove_conflist(path: Path) -> None:
    text = host_files.read(path)
    if text is None:
        return
    if conflist.whose(text) is Whose.OURS:
        _removed(path)
    else:
        log.warning("left as it is: felix-cni did not write it", path=str(path))


def _receipt(directory: Path) -> Receipt:
    try:
        return msgspec.json.decode(host_files.read(directory / RECEIPT) or b"{}", type=Receipt)
    except msgspec.MsgspecError:
        return Receipt()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _placed(path: Path, content: bytes) -> None:
    if host_files.place(path, content, 0o755):
        log.info("installed", path=str(path))


def _removed(path: Path) -> None:
    try:
        path.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise BadSettings(f"{path}: cannot be removed: {error.strerror}") from error
    log.info("removed", path=str(path))
