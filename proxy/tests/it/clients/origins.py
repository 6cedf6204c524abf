"""A WebSocket echo and a gRPC echo over TLS: CERT KEY. Says their ports, and serves until its input ends."""

import asyncio
import concurrent.futures
import ssl
import sys

import grpc
import websockets.asyncio.server

cert, key = sys.argv[1:3]


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request)


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def main():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    sockets = await websockets.asyncio.server.serve(echo, "127.0.0.1", 0, ssl=tls)
    rpc = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=[Echo()])
    with open(key, "rb") as keys, open(cert, "rb") as certs:
        credentials = grpc.ssl_server_credentials([(keys.read(), certs.read())])
    port = rpc.add_secure_port("127.0.0.1:0", credentials)
    rpc.start()
    print(sockets.sockets[0].getsockname()[1], port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
