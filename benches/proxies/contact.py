"""A thousand hosts, each asked once."""

import concurrent.futures
import socket
import ssl
import time

import places

CONTEXT = ssl._create_unverified_context()


def one(proxy, host):
    """Milliseconds from connecting to the end of the answer."""
    started = time.monotonic()
    target = f"{host}:{places.HTTPS_CLOSING}"
    with socket.create_connection(("127.0.0.1", proxy.ports["intercept"]), 10) as raw:
        raw.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        if b" 200" not in raw.recv(4096):
            raise RuntimeError(f"no tunnel to {target}")
        with CONTEXT.wrap_socket(raw, server_hostname=host) as stream:
            stream.sendall(f"GET /1k HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while more := stream.recv(65536):
                answer += more
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{target} answered {answer[:60]}")
    return 1000 * (time.monotonic() - started)


def everybody(proxy):
    """Asks every host once, eight at a time."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        took = sorted(pool.map(lambda host: one(proxy, host), places.FIRST_CONTACT))
    return {"requests": len(took), "p50": took[len(took) // 2], "p99": took[len(took) * 99 // 100]}
