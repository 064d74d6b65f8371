"""What lives on a node is what the kernel says lives."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import cast

import pytest

from cni.living import Living
from cni.records import Records
from felix_py.datastore.model import NodeName
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.port import Kernel
from felix_py.runtime.clock import FakeClock
from felix_py.runtime.errors import TransientError


class Refusing:
    def links(self) -> tuple[()]:
        raise KernelRefused("list links", errno.ENOBUFS)


def test_a_kernel_that_cannot_tell_now_is_asked_again(tmp_path: Path) -> None:
    kernel = cast("Kernel", Refusing())
    living = Living(NodeName("a"), Records(str(tmp_path)), kernel, FakeClock())
    with pytest.raises(TransientError, match="list links"):
        living()
