"""A stand-in on loopback for what a submission to Dataflow talks to: Google's token, storage, Dataflow and Secret Manager endpoints.

It keeps what it is sent, byte by byte, and answers as the services' public REST references say. It knows nothing of pipelines.
"""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

PROJECT, REGION, BUCKET = "shop-analytics", "europe-west1", "shop-staging"


@dataclass
class GoogleCloud:
    """What was sent, and what is there.

    Attributes:
        address: `http://127.0.0.1:PORT`.
        requests: `METHOD path?query` of all requests, in order.
        created: Bodies of the jobs that were created.
        objects: The bucket's objects.
        running: `{"id", "name", "currentState"}` of the jobs that are there, all in REGION.
        permissions: What the account may do with the bucket.
        secrets: Payloads by full version name.
    """

    address: str = ""
    requests: list[str] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    running: list[dict[str, str]] = field(default_factory=list)
    permissions: list[str] = field(default_factory=lambda: ["storage.objects.create", "storage.objects.get"])
    secrets: dict[str, bytes] = field(default_factory=dict)

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        """Status and body (JSON, or bytes) of one request."""
        for pattern, handle in (
            (r"/token", self._token),
            (rf"(?:/sandbox)?/v1b3/projects/{PROJECT}/locations/{REGION}/jobs", self._jobs),
            (rf"(?:/upload)?/storage/v1/b/{BUCKET}/o", self._upload),
            (rf"(?:/download)?/storage/v1/b/{BUCKET}/o/(.+)", self._object),
            (rf"/storage/v1/b/{BUCKET}", self._bucket),
            (rf"/storage/v1/b/{BUCKET}/iam/testPermissions", self._permissions),
            (r"/v1/(projects/.+):access", self._secret),
        ):
            if found := re.fullmatch(pattern, path):
                return handle(method, query, body, *found.groups())
        return 404, _error(404, f"{path} isn't there")

    def _token(self, _method: str, _query: dict[str, str], _body: bytes) -> tuple[int, Any]:
        return 200, {"access_token": "of-the-stand-in", "expires_in": 3600, "token_type": "Bearer"}

    def _jobs(self, method: str, _query: dict[str, str], body: bytes) -> tuple[int, Any]:
        if method == "GET":
            return 200, {"jobs": self.running}
        job = json.loads(body)
        if job["name"] in {other["name"] for other in self.running} and "replaceJobId" not in job:
            return 409, _error(409, f"(1f6) There is already an active job named {job['name']}.", "ALREADY_EXISTS")
        self.created.append(job)
        given = {name: job[name] for name in ("name", "clientRequestId")}
        return 200, {**given, "id": f"job-{len(self.created)}", "projectId": PROJECT, "location": REGION}

    def _bucket(self, _method: str, _query: dict[str, str], _body: bytes) -> tuple[int, Any]:
        return 200, {"kind": "storage#bucket", "id": BUCKET, "name": BUCKET}

    def _permissions(self, _method: str, _query: dict[str, str], _body: bytes) -> tuple[int, Any]:
        return 200, {"permissions": self.permissions}

    def _upload(self, method: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        if method == "POST":
            name = query.get("name") or json.loads(body)["name"]
            return 200, {"Location": f"{self.address}/upload/storage/v1/b/{BUCKET}/o?name={name}&upload_id=1"}
        self.objects[query["name"]] = self.objects.get(query["name"], b"") + body
        return 200, self._described(query["name"])

    def _object(self, _method: str, query: dict[str, str], _body: bytes, name: str) -> tuple[int, Any]:
        name = unquote(name)
        if name not in self.objects:
            return 404, _error(404, f"No such object: {name}")
        return 200, self.objects[name] if query.get("alt") == "media" else self._described(name)

    def _described(self, name: str) -> dict[str, Any]:
        content = self.objects[name]
        checksum = base64.b64encode(google_crc32c.Checksum(content).digest()).decode()  # the client compares it
        named = {"kind": "storage#object", "name": name, "bucket": BUCKET, "generation": "1"}
        return {**named, "size": str(len(content)), "crc32c": checksum}

    def _secret(self, _method: str, _query: dict[str, str], _body: bytes, name: str) -> tuple[int, Any]:
        if name not in self.secrets:
            return 404, _error(404, f"Secret [{name}] not found or has no versions.", "NOT_FOUND")
        return 200, {"name": name, "payload": {"data": base64.b64encode(self.secrets[name]).decode()}}


def _error(code: int, message: str, status: str = "NOT_FOUND") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status}}


def _handler(cloud: GoogleCloud) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            cloud.requests.append(f"{self.command} {self.path}")
            status, content = cloud.answer(self.command, parts.path, query, body)
            sent = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            if isinstance(content, dict) and "Location" in content:
                self.send_header("Location", content["Location"])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer  # noqa: N815 (the base class's names)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def google_cloud() -> Iterator[GoogleCloud]:
    """The stand-in, listening on a free port."""
    cloud = GoogleCloud()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(cloud))
    cloud.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield cloud
    finally:
        server.shutdown()
        server.server_close()


def environment(cloud: GoogleCloud, folder: Path) -> dict[str, str]:
    """Variables under which Google's client libraries find the stand-in, with a service account of its own."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "1",
        "private_key": key.decode(),
        "client_email": f"submitter@{PROJECT}.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"{cloud.address}/token",
    }
    path = folder / "account.json"
    path.write_text(json.dumps(account))
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return {
        **nowhere,  # whatever isn't the stand-in is out of reach
        "NO_PROXY": "127.0.0.1,localhost",
        "GOOGLE_APPLICATION_CREDENTIALS": str(path),
        "STORAGE_EMULATOR_HOST": cloud.address,
        "NO_GCE_CHECK": "true",
    }
