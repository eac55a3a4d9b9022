"""A small S3-compatible server for tests, which checks every signature by itself (AWS Signature Version 4), as
"Authenticating Requests" of the Amazon S3 API Reference has it.

    store = S3("AKIDREAL", "the secret access key", "eu-west-1")
    net.https("bucket.s3.example.com", store.handle)

Buckets are in the host's first label (BUCKET.s3.…) or the first segment of the path. `store.objects` are {(bucket, key): bytes};
`store.refused` says why requests were refused. Reads, writes, deletes, copies and lists; the standard library only."""

import calendar
import hashlib
import hmac
import time
import urllib.parse

from httpd import Response

UNSIGNED = "UNSIGNED-PAYLOAD"
UNSIGNED_CHUNKS = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def signature(secret, scope, when, canonical):
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = "\n".join(["AWS4-HMAC-SHA256", when, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def canonical_request(method, path, query, headers, names, payload):
    """HEADERS: (name, value) in the order of the request; NAMES: those that are signed."""
    pairs = sorted((urllib.parse.quote(n, safe="-_.~"), urllib.parse.quote(v, safe="-_.~"))
                   for n, v in urllib.parse.parse_qsl(query, keep_blank_values=True))
    lines = [name + ":" + ",".join(" ".join(v.split()) for n, v in headers if n.lower() == name) for name in names]
    return "\n".join([method, urllib.parse.quote(urllib.parse.unquote_to_bytes(path), safe="/-_.~"),
                      "&".join(f"{n}={v}" for n, v in pairs), *lines, "", ";".join(names), payload])


def unchunk(body):
    """The content of aws-chunked BODY, without its trailer."""
    content = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        size = int(size.split(b";")[0], 16)
        if size == 0:
            return content
        content, body = content + body[:size], body[size + 2:]


class S3:
    def __init__(self, access_key, secret, region):
        self.access_key, self.secret, self.region = access_key, secret, region
        self.objects, self.refused, self.payloads = {}, [], []

    def why_not(self, request):
        """Why REQUEST is not properly signed; None if it is."""
        fields = dict(part.strip().partition("=")[::2]
                      for part in (request.header("Authorization") or " ").partition(" ")[2].split(","))
        when, payload = request.header("X-Amz-Date") or "", request.header("X-Amz-Content-Sha256") or ""
        names = fields.get("SignedHeaders", "").split(";")
        access_key, _, scope = fields.get("Credential", "").partition("/")
        if access_key != self.access_key or scope != f"{when[:8]}/{self.region}/s3/aws4_request":
            return "another key or scope: " + fields.get("Credential", "none")
        if abs(time.time() - calendar.timegm(time.strptime(when, "%Y%m%dT%H%M%SZ"))) > 900:
            return "another time"
        must = {"host"} | {n.lower() for n, _ in request.headers if n.lower().startswith("x-amz-")}
        if not must <= set(names) or names != sorted(names):
            return "not signed: " + " ".join(sorted(must - set(names)))
        canonical = canonical_request(request.method, request.path, request.query, request.headers, names, payload)
        if not hmac.compare_digest(signature(self.secret, scope, when, canonical), fields.get("Signature", "")):
            return "SignatureDoesNotMatch: " + repr(canonical)
        if payload not in (UNSIGNED, UNSIGNED_CHUNKS) and payload != hashlib.sha256(request.body).hexdigest():
            return "XAmzContentSHA256Mismatch"
        self.payloads.append(payload)
        return None

    def where(self, request):
        host = request.header("Host").partition(":")[0]
        path = urllib.parse.unquote(request.path)
        if not host.startswith("s3."):
            return host.partition(".")[0], path[1:]
        bucket, _, key = path[1:].partition("/")
        return bucket, key

    def handle(self, request):
        why = self.why_not(request)
        if why is not None:
            self.refused.append(why)
            return Response(403, "<Error><Code>AccessDenied</Code></Error>", {"Content-Type": "application/xml"})
        bucket, key = self.where(request)
        if request.method == "PUT":
            body = unchunk(request.body) if request.header("X-Amz-Content-Sha256") == UNSIGNED_CHUNKS else request.body
            copied = request.header("X-Amz-Copy-Source")
            if copied:
                body = self.objects[tuple(copied.lstrip("/").split("/", 1))]
            self.objects[bucket, key] = body
            return Response(200)
        if request.method == "DELETE":
            self.objects.pop((bucket, key), None)
            return Response(200)
        if key == "":
            prefix = dict(urllib.parse.parse_qsl(request.query)).get("prefix", "")
            keys = sorted(k for b, k in self.objects if b == bucket and k.startswith(prefix))
            return Response(200, "<ListBucketResult>" + "".join(f"<Contents><Key>{k}</Key></Contents>" for k in keys) +
                            "</ListBucketResult>", {"Content-Type": "application/xml"})
        if (bucket, key) not in self.objects:
            return Response(404, "<Error><Code>NoSuchKey</Code></Error>", {"Content-Type": "application/xml"})
        return Response(200, self.objects[bucket, key], {"Content-Type": "application/octet-stream"})
