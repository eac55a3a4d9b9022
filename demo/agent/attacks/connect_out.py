"""Calls home: an address, a name, a cloud's metadata service, and the host itself. argv: a port on which
the host listens on loopback."""

import socket
import sys


def attempt(what, host, port):
    try:
        socket.create_connection((host, port), timeout=2).close()
        print("GOT", what)
    except OSError as error:
        print("no", what, error.strerror or error)


interfaces = [name for _, name in socket.if_nameindex()]
if interfaces != ["lo"]:
    # Not contained: that is proof enough, and nothing must go out for it.
    sys.exit("GOT interfaces " + " ".join(interfaces))
attempt("address", "192.0.2.1", 443)
attempt("name", "example.com", 443)
attempt("metadata", "169.254.169.254", 80)
attempt("host", "127.0.0.1", int(sys.argv[1]))
print("interfaces:", " ".join(interfaces))
