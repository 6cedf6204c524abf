import sys

import grpc

channel = grpc.secure_channel(sys.argv[1], grpc.ssl_channel_credentials())
print(channel.unary_unary("/test.Echo/Say")(b"echoed", timeout=10))
