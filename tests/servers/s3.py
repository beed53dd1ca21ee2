"""An S3 server: SeaweedFS, which answers ranges, ETags, conditions and listings in pages as S3 does::

    with s3_server() as server:
        server.make_bucket("photos")
        server.put("photos", "cats/a b.jpg", b"...")
        store = S3Store("photos", **server.options())

It keeps keys unchanged but for ``//`` and the backslash, which become ``/``, and lists folder by folder, not in the order of whole keys.
Any listing can be made up: `faults.listing`, `listing.listed`.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.servers.programs import find, running
from tests.servers.signature import REGION, Keys, encoded, sign

KEYS = Keys("bitesize-tests", "not-a-secret")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class S3Server:
    """A running S3 server.

    Attributes
    ----------
    address : str
        Host and port.
    """

    address: str

    def options(self, address: str | None = None) -> dict[str, object]:
        """Return what ``obstore.store.S3Store`` needs beside a bucket; `address` is that of a proxy in front."""
        return {
            "endpoint": f"http://{address or self.address}",
            "access_key_id": KEYS.key_id,
            "secret_access_key": KEYS.secret,
            "region": REGION,
            "virtual_hosted_style_request": False,
            "client_options": {"allow_http": True},
        }

    def request(
        self, method: str, path: str, query: str = "", body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a signed request, path and query as they are, and return status, headers by lower-case name, and body."""
        given = {"host": self.address, **(headers or {})}
        signed = sign(method, path, query, given, KEYS, hashlib.sha256(body).hexdigest())
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.request(method, f"{path}?{query}" if query else path, body or None, signed)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def make_bucket(self, name: str | None = None) -> str:
        """Make a bucket, of a name that is not in use yet where none is given, and return its name."""
        name = name or f"bucket-{next(_numbers)}"
        self._expect(200, "PUT", f"/{name}")
        return name

    def put(self, bucket: str, key: str, body: bytes = b"") -> None:
        """Put an object under exactly this key."""
        self._expect(200, "PUT", f"/{bucket}/{encoded(key)}", body)

    def put_folder(self, bucket: str, folder: Path, prefix: str = "") -> None:
        """Put all files of a folder, by their paths in it."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.put(bucket, prefix + path.relative_to(folder).as_posix(), path.read_bytes())

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object."""
        self._expect(204, "DELETE", f"/{bucket}/{encoded(key)}")

    def keys(self, bucket: str) -> list[str]:
        """Return up to 1,000 keys of a bucket, as the server lists them."""
        root = ElementTree.fromstring(self._expect(200, "GET", f"/{bucket}", query="list-type=2"))
        return [each.text or "" for each in root.findall("{*}Contents/{*}Key")]

    def _expect(self, status: int, method: str, path: str, body: bytes = b"", query: str = "") -> bytes:
        found, _, answer = self.request(method, path, query, body)
        if found != status:
            raise OSError(f"{method} {path}: {found}, not {status}: {answer[:500].decode(errors='replace')}")
        return answer


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run an S3 server until the block ends; raise `ProgramMissing` where SeaweedFS is not installed."""
    weed = find("weed")
    names = ["s3.port", "master.port", "filer.port", "volume.port", "admin.port"]

    def command(ports: tuple[int, ...], folder: Path) -> Sequence[str]:
        grpc = ports[len(names) :]
        return [
            weed,
            "mini",
            f"-dir={folder}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            *(f"-{name}={port}" for name, port in zip(names, ports, strict=False)),
            *(f"-{name}.grpc={port}" for name, port in zip(names, grpc, strict=True)),
            f"-s3.localSocket={folder / 's3.sock'}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            # Every bucket takes volumes of its own, none of which takes space before it is written.
            "-master.volumeSizeLimitMB=128",
            "-volume.max=4000",
        ]

    keys = {"AWS_ACCESS_KEY_ID": KEYS.key_id, "AWS_SECRET_ACCESS_KEY": KEYS.secret}
    with running(command, ports=2 * len(names), environment=keys) as program:
        server = S3Server(program.address)
        try:
            _wait_until_it_writes(server)
            yield server
        finally:
            _remove_sockets(program.ports)


def _remove_sockets(ports: Sequence[int]) -> None:
    # Most of its sockets lie here, whatever its options and TMPDIR say.
    for port in ports:
        for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
            path.unlink(missing_ok=True)


def _wait_until_it_writes(server: S3Server, seconds: float = 30) -> None:
    # The S3 port answers before there is a volume to write to.
    deadline = time.monotonic() + seconds
    while True:
        try:
            server.put(server.make_bucket(), "ready", b"ready")
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
