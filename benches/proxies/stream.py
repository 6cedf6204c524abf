"""Server-sent events: how much later a chunk arrives through a proxy."""

import socket
import ssl
import time

import places


def delays(proxy):
    """Milliseconds from sending to receiving, of 200 chunks. `proxy` None is the way without."""
    if proxy is None:
        raw = socket.create_connection(("127.0.0.1", places.HOLD))
    elif "sni" in proxy.ports:
        raw = socket.create_connection(("127.0.0.1", proxy.ports["sni"][places.HOLD]))
    else:
        raw = socket.create_connection(("127.0.0.1", proxy.ports["intercept"]))
        target = f"{places.MITM}:{places.HOLD}"
        raw.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        raw.recv(4096)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = ssl._create_unverified_context().wrap_socket(raw, server_hostname=places.MITM)
    stream.sendall(f"GET /sse HTTP/1.1\r\nHost: {places.MITM}:{places.HOLD}\r\nConnection: close\r\n\r\n".encode())
    found, pending = [], b""
    while True:
        more = stream.recv(65536)
        now = time.monotonic_ns()
        if not more:
            break
        *events, pending = (pending + more).split(b"data: ")
        pending = b"data: " + pending
        if b"." in pending:
            events.append(pending[6:])
            pending = b""
        for event in events:
            stamp = event.split(b" ", 1)[0]
            if stamp.isdigit():
                found.append((now - int(stamp)) / 1e6)
        if len(found) >= 200:
            break
    stream.close()
    if len(found) < 200:
        raise RuntimeError(f"{len(found)} of 200 events arrived")
    return sorted(found)


def sample(proxy):
    found = delays(proxy)
    return {"p50": found[100], "p99": found[197]}
