"""The origins: nginx for requests, and a few lines of Python for what nginx cannot be told to do."""

import asyncio
import os
import pathlib
import ssl
import subprocess
import sys
import time

import places
from process import Process

CONFIG = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log crit;
events {{ worker_connections 18000; }}
http {{
  access_log off;
  sendfile on;
  tcp_nodelay on;
  keepalive_requests 100000000;
  keepalive_timeout 300;
  client_body_buffer_size 64k;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  default_type text/plain;
  ssl_certificate {folder}/origin.pem;
  ssl_certificate_key {folder}/origin.key;
  ssl_session_cache shared:S:4m;
  root {folder}/www;
  server {{
    listen {http} backlog=4096;
    location /status {{ stub_status; }}
    location /post {{ return 200 "ok"; }}
  }}
  server {{
    listen {https} ssl http2 backlog=4096;
    location /post {{ return 200 "ok"; }}
  }}
  server {{ listen {closing} ssl backlog=4096; keepalive_timeout 0; }}
}}
"""


def nginx(folder):
    """Serves `/1k` and `/256m`, plain, over TLS, and over TLS without keep-alive."""
    www = folder / "www"
    www.mkdir()
    (www / "1k").write_bytes(b"x" * 1024)
    with open(www / "256m", "wb") as file:
        file.truncate(256 << 20)
    os.chmod(folder, 0o755)
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(
        folder=folder, http=places.HTTP, https=places.HTTPS, closing=places.HTTPS_CLOSING))
    return Process("nginx", [places.program("nginx"), "-c", config, "-g", "user root;"], folder, places.HTTP)


def scripted(folder):
    """This file as a program: see `main`."""
    return Process("origin", [sys.executable, __file__, folder], folder, places.HOLD)


async def stream(reader, writer):
    """`/hold` sends a head and one chunk and then nothing; `/sse` sends 200 chunks of 100 bytes, 10 ms apart, each
    beginning with the time it was sent at."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            if b" /hold" in head.split(b"\r\n")[0]:
                writer.write(b"4\r\nheld\r\n")
                await reader.read()
                return
            for _ in range(200):
                await asyncio.sleep(0.01)
                chunk = f"data: {time.monotonic_ns()} ".encode().ljust(98, b".") + b"\n\n"
                writer.write(b"64\r\n" + chunk + b"\r\n")
            writer.write(b"0\r\n\r\n")
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


class Names(asyncio.DatagramProtocol):
    """A name server (RFC 1035) to which every name is 127.0.0.1 and has no other address."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        question = data[12:data.index(b"\0", 12) + 5]
        is_ipv4 = question[-4:-2] == b"\0\1"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if is_ipv4 else b""
        head = data[:2] + b"\x81\x80\0\1" + (b"\0\1" if is_ipv4 else b"\0\0") + b"\0" * 4
        self.transport.sendto(head + question + answer, peer)


async def main(folder):
    await asyncio.get_running_loop().create_datagram_endpoint(Names, local_addr=("127.0.0.1", 53))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "origin.pem", folder / "origin.key")
    server = await asyncio.start_server(stream, "127.0.0.1", places.HOLD, ssl=context, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(pathlib.Path(sys.argv[1])))
