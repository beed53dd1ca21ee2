"""A server of Azure Blob Storage: Azurite."""

from __future__ import annotations

import base64
import contextlib
import hmac
import http.client
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from xml.etree import ElementTree

from tests.servers.programs import NPM, find, running
from tests.servers.signature import encoded

# The account that every Azurite has.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_numbers = itertools.count(1)


@dataclass(frozen=True)
class AzureServer:
    """A running server of Azure Blob Storage."""

    address: str

    def options(self, address: str | None = None) -> dict[str, object]:
        """Return what ``obstore.store.AzureStore`` needs beside a container; `address` is that of a proxy in front."""
        return {
            "account_name": ACCOUNT,
            "account_key": KEY,
            "endpoint": f"http://{address or self.address}/{ACCOUNT}",
            "client_options": {"allow_http": True},
        }

    def make_container(self, name: str | None = None) -> str:
        """Make a container, of a name that is not in use yet where none is given, and return its name."""
        name = name or f"container-{next(_numbers)}"
        self._request(201, "PUT", f"/{name}", {"restype": "container"})
        return name

    def put(self, container: str, key: str, body: bytes = b"") -> None:
        """Put a blob under exactly this key."""
        self._request(201, "PUT", f"/{container}/{encoded(key)}", body=body, headers={"x-ms-blob-type": "BlockBlob"})

    def put_folder(self, container: str, folder: Path, prefix: str = "") -> None:
        """Put all files of a folder, by their paths in it."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.put(container, prefix + path.relative_to(folder).as_posix(), path.read_bytes())

    def keys(self, container: str) -> list[str]:
        """Return up to 5,000 keys of a container, as the server lists them."""
        body = self._request(200, "GET", f"/{container}", {"comp": "list", "restype": "container"})
        return [each.text or "" for each in ElementTree.fromstring(body).findall("Blobs/Blob/Name")]

    def _request(
        self,
        status: int,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> bytes:
        path, query = f"/{ACCOUNT}{path}", query or {}
        named = {
            **(headers or {}),
            "x-ms-date": format_datetime(datetime.now(UTC), usegmt=True),
            "x-ms-version": "2021-12-02",
        }
        # Shared Key: verb, eleven standard headers of which only Content-Length may be set here, our own headers, and what is asked for.
        lines = [method, "", "", str(len(body) or ""), *[""] * 8]
        lines += [f"{name}:{value}" for name, value in sorted(named.items())]
        lines += [f"/{ACCOUNT}{path}", *(f"{name}:{value}" for name, value in sorted(query.items()))]
        digest = hmac.digest(base64.b64decode(KEY), "\n".join(lines).encode(), "sha256")
        named["authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
        named["content-length"] = str(len(body))
        target = path + ("?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else "")
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.request(method, target, body or None, named)
            answer = connection.getresponse()
            found = answer.read()
        finally:
            connection.close()
        if answer.status != status:
            raise OSError(f"{method} {path}: {answer.status}, not {status}: {found[:500].decode(errors='replace')}")
        return found


@contextlib.contextmanager
def azure_server() -> Iterator[AzureServer]:
    """Run a server of blobs until the block ends; raise `ProgramMissing` where Azurite is not installed."""
    azurite = find("azurite-blob", NPM)

    def command(ports: tuple[int, ...], folder: Path) -> Sequence[str]:
        place = ["--blobHost", "127.0.0.1", "--blobPort", str(ports[0]), "--location", str(folder)]
        return [azurite, *place, "--skipApiVersionCheck", "--loose", "--silent", "--disableTelemetry"]

    with running(command) as program:
        yield AzureServer(program.address)
