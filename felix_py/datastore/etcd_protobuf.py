"""Makes etcd3 run on protobuf's C core; import `rpc` from here, never etcd3 itself.

etcd3 0.12.0 ships message modules generated for protobuf 3, which a current protobuf refuses to
import. Each carries its file's serialized descriptor: from these we build the message classes and
register them under the names that etcd3 imports. If that does not work (another etcd3), protobuf's
pure-Python core is asked for, which still takes the old modules: 3 to 4 times slower.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# We start processes with exec at once and never use a channel in a child; gRPC's fork handlers
# would only print warnings.

FILES = ("kv", "auth", "rpc")
"""In the order of their dependencies."""
_PACKAGE = "etcd3.etcdrpc"


class _CannotBootstrap(Exception):
    """This etcd3 or protobuf is not the one we know."""


def _load() -> tuple[Any, bool]:
    if _PACKAGE in sys.modules:
        return sys.modules[_PACKAGE], False
    try:
        modules = _modules()
    except (_CannotBootstrap, ImportError, TypeError, ValueError, AttributeError):
        os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
        return importlib.import_module(_PACKAGE), False
    sys.modules.update(modules)
    return importlib.import_module(_PACKAGE), True


def _modules() -> dict[str, ModuleType]:
    descriptors = [_descriptor(name) for name in FILES]
    from google.protobuf import (  # noqa: PLC0415  the fallback must choose protobuf's core before
        descriptor_pool,
        message_factory,
    )

    pool = descriptor_pool.DescriptorPool()
    for descriptor in descriptors:
        pool.AddSerializedFile(descriptor)
    modules = {}
    for name in FILES:
        module = ModuleType(f"{_PACKAGE}.{name}_pb2")
        described = pool.FindFileByName(f"{name}.proto")
        module.__dict__["DESCRIPTOR"] = described
        for message, its_descriptor in described.message_types_by_name.items():
            module.__dict__[message] = message_factory.GetMessageClass(its_descriptor)
        for enum in described.enum_types_by_name.values():
            module.__dict__.update({value.name: value.number for value in enum.values})
        modules[module.__name__] = module
    return modules


def _descriptor(name: str) -> bytes:
    """The serialized descriptor in a generated module's source: `serialized_pb=_b('...')`."""
    found = importlib.util.find_spec("etcd3")
    if found is None or found.origin is None:
        raise _CannotBootstrap
    source = (Path(found.origin).parent / "etcdrpc" / f"{name}_pb2.py").read_text("utf-8")
    _, marker, rest = source.partition("serialized_pb=_b(")
    if not marker:
        raise _CannotBootstrap
    literal = rest.partition("\n")[0].rstrip().removesuffix(",").removesuffix(")")
    text = ast.literal_eval(literal)
    if not isinstance(text, str):
        raise _CannotBootstrap
    return text.encode("latin-1")


Message: TypeAlias = Any
"""One of etcd3's generated messages; they carry no types."""

rpc, ON_C_CORE = _load()
"""etcd3's generated messages and stubs, and whether they run on the C core."""
