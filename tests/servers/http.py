"""Web servers of a local folder: rclone, with ranges and pages that list folders, and one of our own, with what others lack or have.

=============================  =========  ======  ==================  ========================
Server                         ranges     ETag    If-Match            pages of folders
=============================  =========  ======  ==================  ========================
``rclone_server(folder)``      yes        no      ignored             yes
``file_server(folder)``        no: 200    yes     yes                 no: 404
``file_server(ranges=True)``   yes        yes     yes                 no: 404
=============================  =========  ======  ==================  ========================

All send Last-Modified.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.servers.programs import find, running


@dataclass(frozen=True)
class HTTPServer:
    """A running web server, and the folder whose files it serves: what is put there later is served, too."""

    address: str
    folder: Path

    @property
    def url(self) -> str:
        """Return the address of the folder."""
        return f"http://{self.address}"

    def options(self) -> dict[str, object]:
        """Return what ``obstore.store.HTTPStore`` needs beside a URL."""
        return {"client_options": {"allow_http": True}}


@contextlib.contextmanager
def rclone_server(folder: Path) -> Iterator[HTTPServer]:
    """Serve a folder by ``rclone serve http``; raise `ProgramMissing` where rclone is not installed."""
    rclone = find("rclone")

    def command(ports: tuple[int, ...], _: Path) -> Sequence[str]:
        place = ["--addr", f"127.0.0.1:{ports[0]}", "--config", ""]
        return [rclone, "serve", "http", *place, "--dir-cache-time", "0", "--read-only", str(folder)]

    with running(command) as program:
        yield HTTPServer(program.address, folder)


@contextlib.contextmanager
def file_server(folder: Path, *, ranges: bool = False) -> Iterator[HTTPServer]:
    """Serve a folder from a thread of this process: without ranges, each answer is the whole file with status 200."""
    handler = type("Handler", (_Files,), {"folder": folder.resolve(), "ranges": ranges})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="file-server", daemon=True)
    thread.start()
    try:
        yield HTTPServer(f"127.0.0.1:{server.server_port}", folder)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Files(BaseHTTPRequestHandler):
    folder: Path
    ranges: bool
    protocol_version = "HTTP/1.1"
    # Head and body are two writes, between which the kernel would wait.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = (self.folder / unquote(urlsplit(self.path).path).lstrip("/")).resolve()
        if not path.is_file() or not path.is_relative_to(self.folder):
            return self._answer(404, {}, b"no such file")
        body, state = path.read_bytes(), path.stat()
        etag = f'"{state.st_mtime_ns:x}-{state.st_size:x}"'
        headers = {"ETag": etag, "Last-Modified": formatdate(state.st_mtime, usegmt=True)}
        if self.headers.get("If-Match", etag) not in (etag, "*"):
            return self._answer(412, headers, b"")
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not self.ranges or asked is None:
            return self._answer(200, headers, body)
        start, stop = int(asked[1]), min(int(asked[2]) + 1 if asked[2] else len(body), len(body))
        if start >= len(body):
            return self._answer(416, {"Content-Range": f"bytes */{len(body)}"}, b"")
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        return self._answer(206, headers, body[start:stop])

    do_HEAD = do_GET

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
