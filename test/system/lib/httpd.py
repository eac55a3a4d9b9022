"""A small HTTP/1.1 server for tests: handlers are functions, and every byte that arrived is kept.

    server = HttpServer(("127.0.0.1", 0), handler)       # ssl_context=… for https
    def handler(request): return Response(200, b"hello", {"Content-Type": "text/plain"})

A handler may return None (the connection is closed without an answer), a Response, or bytes (sent as they are).
`server.requests` are the Requests in the order of arrival; `request.raw` is its head and body as they came."""

import contextlib
import socket
import ssl
import subprocess
import threading

HEAD_MAX = 1 << 17


class Request:
    def __init__(self, raw, method, target, headers, body, connection):
        self.raw, self.method, self.target, self.headers, self.body = raw, method, target, headers, body
        self.connection = connection  # the socket, for handlers that write by themselves
        self.path, _, self.query = target.partition("?")
        self.server_name = None  # the SNI that the client sent, if the context's callback noted it (internet.py)
        self.version = "HTTP/1.1"

    def header(self, name, fallback=None):
        """The first header NAME."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), fallback)


class Response:
    def __init__(self, status=200, body=b"", headers=None, chunked=False, reason="Said so"):
        self.status, self.reason, self.chunked = status, reason, chunked
        self.body = body.encode() if isinstance(body, str) else body
        self.headers = list((headers or {}).items() if isinstance(headers or {}, dict) else headers)

    def encode(self, head_only=False):
        lines = [f"HTTP/1.1 {self.status} {self.reason}", *(f"{n}: {v}" for n, v in self.headers)]
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
        elif not any(n.lower() in ("content-length", "transfer-encoding") for n, _ in self.headers):
            lines.append(f"Content-Length: {len(self.body)}")
        body = b"" if head_only else self.body
        if self.chunked and not head_only:
            size = 7000
            parts = [body[i:i + size] for i in range(0, len(body), size)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Reader:
    """Bytes of one connection, with what was read kept."""

    def __init__(self, connection):
        self.connection, self.pending, self.taken = connection, b"", b""

    def more(self):
        data = self.connection.recv(65536)
        if not data:
            raise EOFError
        self.pending += data

    def take(self, n):
        while len(self.pending) < n:
            self.more()
        data, self.pending = self.pending[:n], self.pending[n:]
        self.taken += data
        return data

    def until(self, end):
        while end not in self.pending:
            if len(self.pending) > HEAD_MAX:
                raise EOFError
            self.more()
        return self.take(self.pending.index(end) + len(end))


def read_chunked(reader):
    body = b""
    while True:
        size = int(reader.until(b"\r\n").split(b";")[0], 16)
        if size == 0:
            while reader.until(b"\r\n") != b"\r\n":
                pass
            return body
        body += reader.take(size)
        reader.take(2)


def read_request(reader):
    reader.taken = b""
    head = reader.until(b"\r\n\r\n").decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    method, target, version = first.split(" ")
    headers = [(n, v.strip()) for n, _, v in (line.partition(":") for line in lines)]
    request = Request(b"", method, target, headers, b"", reader.connection)
    request.version = version
    if (request.header("Expect") or "").lower() == "100-continue":
        reader.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if (request.header("Transfer-Encoding") or "").lower() == "chunked":
        request.body = read_chunked(reader)
    elif request.header("Content-Length"):
        request.body = reader.take(int(request.header("Content-Length")))
    request.raw = reader.taken
    return request


class HttpServer:
    """Serves until close(). ADDRESS is (host, port); IPv6 if the host has a colon."""

    def __init__(self, address, handler, ssl_context=None):
        self.handler, self.ssl_context = handler, ssl_context
        self.requests, self.connections, self.failures = [], 0, []
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.create_server(address, family=family, backlog=512)
        self.address = self.socket.getsockname()[:2]
        self.open = set()
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def port(self):
        return self.address[1]

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            self.open.add(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        plain = connection
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.ssl_context:
                connection = self.ssl_context.wrap_socket(connection, server_side=True)
            self.converse(connection)
        except (OSError, EOFError, ValueError, ssl.SSLError) as e:
            self.failures.append(e)
        finally:
            self.open.discard(plain)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def converse(self, connection):
        reader = Reader(connection)
        while True:
            try:
                request = read_request(reader)
            except EOFError:
                return
            request.server_name = getattr(connection, "asked_name", None)
            self.requests.append(request)
            answer = self.handler(request)
            if answer is None:
                return
            if isinstance(answer, bytes):
                connection.sendall(answer)
                return
            connection.sendall(answer.encode(request.method == "HEAD"))
            closes = (request.header("Connection") or "").lower() == "close" or request.version == "HTTP/1.0"
            if closes or any(n.lower() == "connection" and v.lower() == "close" for n, v in answer.headers):
                return

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def git_backend(root, request, user="someone"):
    """REQUEST answered by git's own http-backend for the repositories below ROOT."""
    env = {"PATH": "/usr/bin:/bin", "GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1", "REMOTE_USER": user,
           "REMOTE_ADDR": "127.0.0.1", "REQUEST_METHOD": request.method, "PATH_INFO": request.path,
           "QUERY_STRING": request.query, "CONTENT_TYPE": request.header("Content-Type", ""),
           "CONTENT_LENGTH": str(len(request.body)), "HTTP_CONTENT_ENCODING": request.header("Content-Encoding", ""),
           "GIT_PROTOCOL": request.header("Git-Protocol", ""), "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(root),
           "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
           "GIT_CONFIG_VALUE_0": "*"}
    p = subprocess.run(["/usr/lib/git-core/git-http-backend"], input=request.body, capture_output=True, env=env,
                       timeout=60, check=False)
    head, _, body = p.stdout.partition(b"\r\n\r\n")
    headers = [tuple(line.split(": ", 1)) for line in head.decode("latin-1").split("\r\n") if ": " in line]
    status = next((int(v.split()[0]) for n, v in headers if n == "Status"), 200)
    return Response(status, body, [(n, v) for n, v in headers if n not in ("Status", "Content-Length")])
