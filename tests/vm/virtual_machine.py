"""A virtual machine that boots the host's own files with another kernel, runs one program and ends.

Plain emulation (virtme-ng on qemu): Python is some fifteen times slower there. The guest sees the host's
root read-only through 9p, /tmp, /run and /dev/shm in memory of its own, and one directory of the host's
into which results go. What it reads most is mounted once more with a cache.
"""

from __future__ import annotations

import compileall
import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.vm.kernel_image import kernel_image

SOURCE = Path(__file__).resolve().parents[2]
MEMORY = "3G"
CPUS = 2
STATUS = "exit-status"
"""The program's exit status in the results directory: without this file it never ended."""

GUEST_SCRIPT = """\
cd /
for at in {cached}; do
    tag=$(awk -v at="$at" '$2 == at && $3 == "9p" {{tag = $1}} END {{print tag}}' /proc/mounts)
    umount "$at" &&
    mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose "$tag" "$at"
done
cd {source}
{command} >{results}/output 2>&1 </dev/null
echo $? >{results}/{status}
sync
"""


def run(argv: list[str], results: Path, *, timeout_seconds: float) -> int:
    """The program's exit status; its output is the file `output` in the results directory.

    Raises AssertionError when the machine did not boot, or had to be killed.
    """
    compileall.compile_dir(SOURCE / "felix_py", quiet=2)
    results.mkdir(parents=True, exist_ok=True)
    (results / STATUS).unlink(missing_ok=True)
    image = kernel_image()
    stdlib = sysconfig.get_paths()["stdlib"]
    script = results / "start.sh"
    script.write_text(
        GUEST_SCRIPT.format(
            cached=shlex.join([stdlib, str(SOURCE)]),
            source=shlex.quote(str(SOURCE)),
            results=shlex.quote(str(results)),
            status=STATUS,
            command=shlex.join(argv),
        )
    )
    command = [
        "vng", "--run", str(image.file), "--disable-kvm", "--force-9p", "--cpus", str(CPUS),
        "--memory", MEMORY, "--user", "root", f"--rwdir={results}", f"--rodir={SOURCE}",
        f"--rodir={stdlib}", "--exec", f"sh {shlex.quote(str(script))}",
    ]  # fmt: skip
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with (results / "console").open("wb") as console:
        machine = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": path},
            cwd="/",
            start_new_session=True,
        )
        try:
            machine.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(machine.pid, 9)
            machine.wait()
    said = (results / "console").read_text("utf-8", errors="replace")[-2000:]
    assert (results / STATUS).exists(), (
        f"the program did not end in {timeout_seconds} s; console:\n{said}"
    )
    return int((results / STATUS).read_text())
