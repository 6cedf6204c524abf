"""Bulk: bytes through a tunnel, either way, over one or more streams; and a big file through interception."""

import socket
import subprocess
import threading
import time

import places

SIZE = 1 << 20


class Sink:
    """An origin that swallows what comes or, asked by one byte `r`, sends without end."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", places.SINK), backlog=128)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            peer, _ = self.listener.accept()
            threading.Thread(target=self.one, args=(peer,), daemon=True).start()

    def one(self, peer):
        buffer = bytearray(SIZE)
        try:
            with peer:
                if peer.recv(1) == b"r":
                    while True:
                        peer.sendall(buffer)
                while peer.recv_into(buffer):
                    pass
        except OSError:
            pass


def connected(proxy):
    """A connection to the sink through `proxy`."""
    if "relay" in proxy.ports:
        return socket.create_connection(("127.0.0.1", proxy.ports["relay"][places.SINK]))
    stream = socket.create_connection(("127.0.0.1", proxy.ports["forward"]))
    target = f"{places.TUNNEL}:{places.SINK}"
    stream.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = stream.recv(1)
        if not byte:
            raise RuntimeError(f"no tunnel: {head}")
        head += byte
    if b" 200" not in head:
        raise RuntimeError(f"no tunnel: {head}")
    return stream


def tunnel(proxy, streams, down, seconds):
    """Moves bytes for a while. `gigabytes` are decimal."""
    moved = [0] * streams
    open_streams = [connected(proxy) for _ in range(streams)]
    started = time.monotonic()

    def move(number, stream):
        buffer = bytearray(SIZE)
        try:
            stream.sendall(b"r" if down else b"w")
            while time.monotonic() - started < seconds:
                moved[number] += stream.recv_into(buffer) if down else stream.send(buffer)
        finally:
            stream.close()

    threads = [threading.Thread(target=move, args=pair) for pair in enumerate(open_streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gigabytes = sum(moved) / 1e9
    return {"gigabytes": gigabytes, "gbps": 8 * gigabytes / (time.monotonic() - started)}


def intercepted(proxy, mode, streams=1):
    """A file of 256 MiB over intercepted TLS, with curl."""
    url = f"https://{places.MITM}:{places.HTTPS}/256m"
    way = (["--connect-to", f"::127.0.0.1:{proxy.ports['sni'][places.HTTPS]}"] if mode == "sni"
           else ["-x", f"http://127.0.0.1:{proxy.ports[mode]}"])
    started = time.monotonic()
    runs = [subprocess.Popen(["curl", "-skf", "--http1.1", *way, "-o", "/dev/null", url]) for _ in range(streams)]
    if any(run.wait(120) for run in runs):
        raise RuntimeError("curl failed")
    gigabytes = streams * (256 << 20) / 1e9
    return {"gigabytes": gigabytes, "gbps": 8 * gigabytes / (time.monotonic() - started)}
