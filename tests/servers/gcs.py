"""A server of Google Cloud Storage: the S3 server, behind a proxy that signs.

The XML API of GCS, which obstore uses, is that of S3 but for its authorization. The emulators of GCS have the JSON API: without listings,
HEAD, ETag and Last-Modified in the XML API, obstore reads nothing from them.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from tests.servers.faults import Request
from tests.servers.programs import MODULES, running
from tests.servers.proxy import Proxy
from tests.servers.s3 import KEYS, S3Server
from tests.servers.signature import encoded, sign_again


@dataclass(frozen=True)
class GCSServer:
    """A running server of GCS."""

    address: str
    s3: S3Server

    def options(self, address: str | None = None) -> dict[str, object]:
        """Return what ``obstore.store.GCSStore`` needs beside a bucket; `address` is that of a proxy in front."""
        account = {"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": True}
        return {
            "service_account_key": json.dumps({**account, "gcs_base_url": f"http://{address or self.address}"}),
            "client_options": {"allow_http": True},
        }

    def make_bucket(self, name: str | None = None) -> str:
        """Make a bucket, of a name that is not in use yet where none is given, and return its name."""
        return self.s3.make_bucket(name)

    def put(self, bucket: str, key: str, body: bytes = b"") -> None:
        """Put an object under exactly this key."""
        self.s3.put(bucket, key, body)

    def put_folder(self, bucket: str, folder: Path, prefix: str = "") -> None:
        """Put all files of a folder, by their paths in it."""
        self.s3.put_folder(bucket, folder, prefix)


@contextlib.contextmanager
def gcs_server(s3: S3Server) -> Iterator[GCSServer]:
    """Run a server of GCS, which holds what an S3 server holds, until the block ends."""
    with running(
        lambda ports, _: [sys.executable, "-m", "tests.servers.gcs", s3.address, str(ports[0])], environment=MODULES
    ) as program:
        yield GCSServer(program.address, s3)


def translate(request: Request) -> None:
    """Make a request of GCS one of S3: a guard for `Proxy`."""
    request.path = encoded(unquote(request.path))  # GCS takes keys with their slashes encoded
    request.headers = {name: value for name, value in request.headers.items() if not name.startswith("x-goog-")}
    sign_again(request, KEYS)


if __name__ == "__main__":
    with Proxy(sys.argv[1], port=int(sys.argv[2]), guard=translate):
        threading.Event().wait()
