"""A stand-in of a Schema Registry: those requests of its REST interface that reading and Confluent's serialisers make. No real one is tested with."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from serving import serving


class Registry:
    """What is registered, and how it behaves."""

    def __init__(self) -> None:
        self.url = ""
        self.schemas: dict[int, dict[str, Any]] = {}
        self.subjects: dict[tuple[str, int], int] = {}
        self.asked: list[str] = []
        self.authorization = ""  # that which is let in
        self.away = False
        self.misses = 0  # so many requests more aren't answered

    def register(
        self, subject: str, schema: str, kind: str = "AVRO", references: list[dict[str, Any]] | None = None
    ) -> int:
        """The number of a schema under a subject."""
        body = {"schema": schema, "schemaType": kind, "references": references or []}
        number = next((n for n, known in self.schemas.items() if known == body), len(self.schemas) + 1)
        self.schemas[number] = body
        if number not in [n for (name, _), n in self.subjects.items() if name == subject]:
            version = 1 + sum(name == subject for name, _ in self.subjects)
            self.subjects[subject, version] = number
        return number

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        path, _, query = path.partition("?")
        parts = path.strip("/").split("/")
        if method == "POST" and parts[0] == "subjects":
            number = self.register(parts[1], body["schema"], body.get("schemaType", "AVRO"), body.get("references"))
            version = max(v for (name, v), n in self.subjects.items() if (name, n) == (parts[1], number))
            return 200, self.schemas[number] | {"id": number, "version": version, "subject": parts[1]}
        if parts[:2] == ["schemas", "ids"] and int(parts[2]) in self.schemas:
            return 200, self._shown(int(parts[2]), query)
        if parts[0] == "subjects" and parts[2] == "versions" and (parts[1], int(parts[3])) in self.subjects:
            number = self.subjects[parts[1], int(parts[3])]
            return 200, self._shown(number, query) | {"id": number, "version": int(parts[3]), "subject": parts[1]}
        return 404, {"error_code": 40403, "message": "Schema not found"}

    def _shown(self, number: int, query: str) -> dict[str, Any]:
        """A real one leaves out that a schema is Avro, and gives Protobuf as text unless asked for the descriptor."""
        found = {name: value for name, value in self.schemas[number].items() if value not in ("AVRO", [])}
        if found.get("schemaType") == "PROTOBUF" and "format=serialized" not in query:
            found["schema"] = 'syntax = "proto3";'
        return found


@contextmanager
def running_registry() -> Iterator[Registry]:
    """One that answers while the block lasts."""
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            registry.asked.append(self.path)
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            status, answer = registry.answer(self.command, self.path, body)
            if registry.away or registry.misses:
                registry.misses = max(0, registry.misses - 1)
                status, answer = 503, {}
            if registry.authorization and self.headers.get("authorization") != registry.authorization:
                status, answer = 401, {}
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET  # noqa: N815 (the server's word)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.url = f"http://127.0.0.1:{server.server_port}"
    with serving(server):
        yield registry


def framed(number: int, payload: bytes) -> bytes:
    """A value as Confluent's serialisers write it."""
    return b"\0" + number.to_bytes(4, "big") + payload


def descriptor_text(file: Any) -> str:
    """A file descriptor as a registry holds it."""
    return base64.b64encode(file.SerializeToString()).decode()
