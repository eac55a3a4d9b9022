"""Connects to one loopback port: the same call as in connect_out.py, for the control run outside."""

import socket
import sys

socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5).close()
print("GOT host")
