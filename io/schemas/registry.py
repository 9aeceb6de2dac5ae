"""A Schema Registry: where it is, who asks, and its two questions: the schema of a number, and one that another refers to."""

import logging
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec
import urllib3

from clickstream.io.errors import UserError
from clickstream.io.secrets import check_secret_reference, resolve_secret

_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_SECONDS = 10.0
_TYPE = "application/vnd.schemaregistry.v1+json, application/json"
_UNKNOWN, _FORBIDDEN = 404, (401, 403)

logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


class RegistryError(Exception):
    """The registry can't be asked, or doesn't know: what, and what to do. Both may pass."""


class Reference(msgspec.Struct, frozen=True):
    """Another schema that one needs: by what name, and where it is."""

    name: str
    subject: str
    version: int


class Schema(msgspec.Struct, frozen=True):
    """A schema as the registry gives it: `AVRO`, `PROTOBUF` (as a file descriptor in base64) or `JSON`."""

    schema: str
    schemaType: str = "AVRO"  # noqa: N815 (the registry's word)
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class SchemaRegistry:
    """How to reach a registry. Holds references to secrets, never a secret.

    Attributes:
        url: `https://registry.example:8081`, with a path if it has one.
        user: For basic authentication; of Confluent Cloud, the API key.
        password: Reference to the password; of Confluent Cloud, the API key's secret.
        ca: File with the certificate authority of an https server. None: those that Python knows.

    Raises:
        UserError: The URL is none, or user and password don't go together.
    """

    url: str
    user: str | None = None
    password: str | None = None
    ca: str | None = None

    def __post_init__(self) -> None:
        if not _URL.fullmatch(self.url):
            message = "--schema_registry is no URL: write such as https://registry.example:8081; user and password have options of their own."
            raise UserError(message)
        if self.password:
            check_secret_reference(self.password)
        if (self.user is None) != (self.password is None):
            message = "--schema_registry: give --schema_registry_user and --schema_registry_password, or neither."
            raise UserError(message)

    def open(self) -> "RegistryClient":
        """A client. Resolves the secrets: call it on the worker.

        Raises:
            SecretError: A reference leads nowhere.
        """
        headers = {"accept": _TYPE}
        if self.user and self.password:
            headers |= urllib3.make_headers(basic_auth=f"{self.user}:{resolve_secret(self.password)}")
        return RegistryClient(self.url.rstrip("/"), headers, self.ca)


class RegistryClient:
    """Asks a registry; retries nothing by itself."""

    def __init__(self, url: str, headers: dict[str, str], ca: str | None) -> None:
        self._url, more = url, {"ca_certs": ca} if ca else {}
        self._pool = urllib3.PoolManager(headers=headers, retries=False, timeout=_SECONDS, **more)  # type: ignore[arg-type]

    def schema(self, number: int) -> Schema:
        """The schema of this number.

        Raises:
            RegistryError: There is none, or the registry can't be asked.
        """
        found = self._asked(f"schemas/ids/{number}", f"the schema {number}")
        return self._serialised(found, f"schemas/ids/{number}") if found.schemaType == "PROTOBUF" else found

    def referred(self, reference: Reference, *, serialised: bool = False) -> Schema:
        """A schema that another refers to. Raises as `schema`."""
        path = f"subjects/{quote(reference.subject, safe='')}/versions/{reference.version}"
        found = self._asked(path, f"{reference.subject} in version {reference.version}")
        return self._serialised(found, path) if serialised else found

    def _serialised(self, found: Schema, path: str) -> Schema:
        wanted = self._asked(f"{path}?format=serialized", path)
        return msgspec.structs.replace(found, schema=wanted.schema)

    def _asked(self, path: str, what: str) -> Schema:
        try:
            answer = self._pool.request("GET", f"{self._url}/{path}")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            cause = str(error).rpartition(": ")[2]
            message = f"no answer ({cause}): is it up, and --schema_registry right?"
            raise RegistryError(message) from None
        if answer.status == _UNKNOWN:
            message = f"it doesn't know {what}: is --schema_registry the one that the topic's producers write with?"
            raise RegistryError(message)
        if answer.status != 200:
            cure = (
                "check --schema_registry_user and --schema_registry_password"
                if answer.status in _FORBIDDEN
                else "see its log"
            )
            message = f"it answers {answer.status} to a request for {what}: {cure}."
            raise RegistryError(message)
        return self._read(answer.data, what)

    def _read(self, body: Any, what: str) -> Schema:
        try:
            return msgspec.json.decode(body, type=Schema)
        except msgspec.MsgspecError:
            message = f"what it says of {what} is no schema: does --schema_registry lead to a Schema Registry?"
            raise RegistryError(message) from None
