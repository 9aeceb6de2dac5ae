"""A server in the place of Kibana: gives one answer to whatever is posted, and keeps what was."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def answering(
    status: int, answer: Any, location: str | None = None
) -> Iterator[tuple[str, list[tuple[str, dict[str, str], Message]]]]:
    """Its address, and what it was asked: path, headers, and the file that came along."""
    asked: list[tuple[str, dict[str, str], Message]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            whole = f"content-type: {self.headers['content-type']}\r\n\r\n".encode() + body
            (part,) = message_from_bytes(whole, policy=policy.HTTP).iter_parts()
            asked.append((self.path, dict(self.headers), part))
            self.send_response(status)
            if location:
                self.send_header("location", location)
            said = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
