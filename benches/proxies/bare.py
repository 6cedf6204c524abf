"""The least that a relay can do: `splice(2)` in a thread a direction, to a fixed origin. Not a proxy, but what the
kernel alone costs: nothing that asks a policy first can be much below it.

Usage: bare.py LISTEN ORIGIN, ports on loopback.
"""

import contextlib
import fcntl
import os
import socket
import sys
import threading

PIPE = 1 << 20


def carry(source, target):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE)
    with contextlib.suppress(OSError):
        while held := os.splice(source.fileno(), writer, PIPE):
            while held:
                held -= os.splice(reader, target.fileno(), held)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
    os.close(reader)
    os.close(writer)


def main():
    listen, origin = (int(port) for port in sys.argv[1:])
    listener = socket.create_server(("127.0.0.1", listen), backlog=128)
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", origin))
        for pair in [(client, server), (server, client)]:
            threading.Thread(target=carry, args=pair, daemon=True).start()


main()
