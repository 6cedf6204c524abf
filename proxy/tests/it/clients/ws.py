import sys

from websockets.sync.client import connect

with connect(sys.argv[1]) as connection:
    connection.send("echoed")
    print(connection.recv())
