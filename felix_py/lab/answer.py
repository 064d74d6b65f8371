"""What stands behind every pod, ToR and outside host: says its name to whoever connects, and as whom it
sees that one. `answer.py NAME PORT`; the answer is two lines.

Standard library only, run as `python -I -S`: a dozen of them start on every `felix-lab up`.
"""

from __future__ import annotations

import socket
import sys


def main() -> None:
    """Answer one connection after the other, each within a second, until killed."""
    name, port = sys.argv[1], int(sys.argv[2])
    server = socket.socket(socket.AF_INET6)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", port))
    server.listen(256)
    while True:
        connection, client = server.accept()
        seen = str(client[0]).removeprefix("::ffff:")
        with connection:
            connection.settimeout(1)
            try:
                connection.sendall(f"{name}\n{seen}\n".encode())
            except OSError:
                continue


if __name__ == "__main__":
    main()
