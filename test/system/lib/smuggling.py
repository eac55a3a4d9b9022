"""What the public lists know of HTTP request smuggling: streams of bytes that two readers could cut in two ways.

streams(host) and broken_bodies(host) are {name: text}; in each a second request, for MARK, is hidden. A reader that takes
anything (Sink) sees it arrive; nothing that is strict may pass it on."""

import socket
import threading

MARK = b"/smuggled"


def head(*lines):
    return "\r\n".join([*lines, "", ""])


def streams(host):
    """None of these may be let through, in no part."""
    post, to = "POST /front HTTP/1.1", f"Host: {host}"
    tail = head("GET /smuggled HTTP/1.1", to)
    chunked = "0\r\n\r\n" + tail
    length = f"Content-Length: {len(chunked)}"
    hidden = f"Content-Length: {len(tail)}"
    return {
        "CL.TE": head(post, to, length, "Transfer-Encoding: chunked") + chunked,
        "TE.CL": head(post, to, "Transfer-Encoding: chunked", "Content-Length: 4") + f"{len(tail):x}\r\n{tail}\r\n0\r\n\r\n",
        "two lengths": head(post, to, "Content-Length: 0", length) + chunked,
        "two equal lengths": head(post, to, length, length) + chunked,
        "a list of lengths": head(post, to, "Content-Length: 0, 0") + tail,
        "a signed length": head(post, to, "Content-Length: +0") + tail,
        "a negative length": head(post, to, "Content-Length: -1") + tail,
        "a hexadecimal length": head(post, to, "Content-Length: 0x0") + tail,
        "a length of many digits": head(post, to, "Content-Length: 18446744073709551616") + tail,
        "a length with a space before its colon": head(post, to, f"Content-Length : {len(tail)}") + tail,
        "a length on a folded line": head(post, to, "Content-Length:", f" {len(tail)}") + tail,
        "a length after a bare LF": f"{post}\r\n{to}\r\nX: y\n{hidden}\r\n\r\n{tail}",
        "a length after a bare CR": f"{post}\r\n{to}\r\nX: y\r{hidden}\r\n\r\n{tail}",
        "a length after a NUL": f"{post}\r\n{to}\r\nX: y\0\r\n{hidden}\r\n\r\n{tail}",
        "Content_Length": head(post, to, f"Content_Length: {len(tail)}") + tail,
        "chunked twice": head(post, to, "Transfer-Encoding: chunked", "Transfer-Encoding: identity") + chunked,
        "chunked, identity": head(post, to, "Transfer-Encoding: chunked, identity") + chunked,
        "identity, chunked": head(post, to, "Transfer-Encoding: identity, chunked") + chunked,
        "xchunked": head(post, to, "Transfer-Encoding: xchunked", length) + chunked,
        "chunked after a vertical tab": head(post, to, "Transfer-Encoding: \vchunked", length) + chunked,
        "chunked after a tab": head(post, to, "Transfer-Encoding:\tchunked") + chunked,
        "chunked on a folded line": head(post, to, "Transfer-Encoding:", " chunked") + chunked,
        "a space before the colon of Transfer-Encoding": head(post, to, "Transfer-Encoding : chunked") + chunked,
        "Transfer_Encoding": head(post, to, "Transfer_Encoding: chunked", length) + chunked,
        "chunked in version 1.0": head("POST /front HTTP/1.0", to, "Transfer-Encoding: chunked") + chunked,
        "bare LF in all lines": f"POST /front HTTP/1.1\n{to}\nContent-Length: 0\n\n{tail}",
        "an empty line first": "\r\n" + head(post, to, "Content-Length: 0") + tail,
        "a second request line in the target": head("GET /front HTTP/1.1\rHost: a\r\r" + tail.replace("\r\n", "\r"), to),
        "a space in the target": head("GET /front HTTP/1.1 /smuggled HTTP/1.1", to),
        "HTTP/0.9": "GET /smuggled\r\n",
        "HTTP/2's preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + MARK.decode(),
        "a lower-case version": head("GET /smuggled http/1.1", to),
        "two Hosts": head("GET /smuggled HTTP/1.1", to, "Host: other.test"),
        "no Host": head("GET /smuggled HTTP/1.1"),
        "Expect obfuscated": head(post, to, "Expect: y 100-continue", hidden) + tail,
        "Expect without a body": head(post, to, "Expect: 100-continue") + tail,
        "Connection names Content-Length": head(post, to, "Connection: Content-Length", hidden) + tail,
        "a name with a control byte": head(post, to, "X\x01: y", "Content-Length: 0") + tail,
        "a NUL in the target": head("GET /smuggled\0 HTTP/1.1", to),
        "a fragment in the target": head("GET /front#/smuggled HTTP/1.1", to),
        "a backslash in the target": head("GET \\smuggled/smuggled HTTP/1.1", to),
    }


def broken_bodies(host):
    """These begin well: the request may be passed on, but its body gives it away, and nothing after is a request."""
    to = f"Host: {host}"
    start, tail = head("POST /front HTTP/1.1", to, "Transfer-Encoding: chunked"), head("GET /smuggled HTTP/1.1", to)
    return {
        "a chunk extension": f"{start}0;x=y\r\n\r\n{tail}",
        "a chunk extension with a bare LF": f"{start}2;\nxx\r\n{len(tail):x}\r\n{tail}\r\n0\r\n\r\n",
        "a size with white space": f"{start}0 \r\n\r\n{tail}",
        "a size with a sign": f"{start}+0\r\n\r\n{tail}",
        "a size with 0x": f"{start}0x0\r\n\r\n{tail}",
        "a size that overflows": f"{start}10000000000000000\r\n\r\n{tail}",
        "a size ending in LF": f"{start}0\n\r\n{tail}",
        "a last line ending in LF": f"{start}0\r\n\n{tail}",
        "content longer than said": f"{start}1\r\nab\r\n0\r\n\r\n{tail}",
        "content ending in LF": f"{start}1\r\na\n0\r\n\r\n{tail}",
        "a trailer that is a request": f"{start}0\r\n{tail}",
        "a folded trailer": f"{start}0\r\nX: y\r\n z\r\n\r\n{tail}",
    }


class Sink:
    """An upstream that takes anything: every byte is kept, every piece is answered. ADDRESS may be (host, 0)."""

    def __init__(self, address=("127.0.0.1", 0), context=None, wait=20):
        self.lock, self.wait, self.context = threading.Condition(), wait, context
        self.received, self.open, self.connections = b"", 0, 0
        self.socket = socket.create_server(
            address, backlog=256, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.address = self.socket.getsockname()[:2]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with self.lock:
                self.open += 1
                self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            if self.context is not None:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection:
                while data := connection.recv(65536):
                    with self.lock:
                        self.received += data
                    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        except OSError:
            connection.close()
        with self.lock:
            self.open -= 1
            self.lock.notify_all()

    def take(self):
        """What came since the last time, when all connections have ended."""
        with self.lock:
            assert self.lock.wait_for(lambda: self.open == 0, self.wait)
            data, self.received = self.received, b""
        return data

    def close(self):
        self.socket.close()
