"""What a connection costs that does nothing: resident memory, and time."""

import socket
import ssl
import time

import places


def connect(proxy, target):
    stream = socket.create_connection(("127.0.0.1", proxy.ports["forward"]))
    stream.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    if b" 200" not in stream.recv(4096):
        raise RuntimeError("no tunnel")
    return stream


def tunnels(proxy, count):
    """Tunnels to the TLS origin in which a handshake took place and then nothing."""
    context = ssl._create_unverified_context()
    return [context.wrap_socket(connect(proxy, f"{places.TUNNEL}:{places.HTTPS}"), server_hostname=places.TUNNEL)
            for _ in range(count)]


def pairs(proxy, count):
    """Intercepted connections on which an origin has begun an answer and says no more: both sides stay open."""
    context = ssl._create_unverified_context()
    opened = []
    for _ in range(count):
        if "sni" in proxy.ports:
            raw = socket.create_connection(("127.0.0.1", proxy.ports["sni"][places.HOLD]))
        else:
            raw = connect(proxy, f"{places.MITM}:{places.HOLD}")
        stream = context.wrap_socket(raw, server_hostname=places.MITM)
        stream.sendall(f"GET /hold HTTP/1.1\r\nHost: {places.MITM}:{places.HOLD}\r\n\r\n".encode())
        seen = b""
        while b"held" not in seen:
            more = stream.recv(4096)
            if not more:
                raise RuntimeError("the answer was cut")
            seen += more
        opened.append(stream)
    return opened


def cost(proxy, opener, warm, count):
    """KiB and seconds a connection costs, after `warm` of them have made the proxy's pools and tables."""
    for stream in opener(proxy, warm):
        stream.close()
    time.sleep(1)
    before = proxy.process.resident()
    opened = opener(proxy, count)
    time.sleep(1)
    after, cpu = proxy.process.resident(), proxy.process.cpu()
    time.sleep(3)
    idle = (proxy.process.cpu()[0] - cpu[0]) / 3
    for stream in opened:
        stream.close()
    return {"kib": (after - before) / count, "idle": idle, "base": before}
