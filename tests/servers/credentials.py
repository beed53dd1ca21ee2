"""Keys that expire: an endpoint that gives out new ones, as containers on AWS have it, and a check that refuses old ones.

The keys are valid at a proxy, which signs again with those of the server::

    with TokenServer(KEYS, lifetime=2.0) as tokens, Proxy(server.address, guard=tokens.check) as proxy:
        store = S3Store(bucket, **tokens.options(server.options(proxy.address)))
        tokens.expire()
"""

from __future__ import annotations

import json
import re
import secrets
import tempfile
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from tests.servers.faults import Answer, Request, access_denied, expired_token
from tests.servers.signature import Keys, sign_again, signature

AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/([^,]+), ?SignedHeaders=([^,]+), ?Signature=(\w+)")


@dataclass(frozen=True)
class Issued:
    """Keys that were given out, until when they are valid, and what the endpoint says of that."""

    key_id: str
    secret: str
    token: str
    expires: datetime
    claimed: datetime


class TokenServer:
    """An endpoint of credentials, from ``with`` to the end of the block.

    Parameters
    ----------
    keys : Keys
        Those of the real server.
    lifetime : float
        Seconds for which keys are valid.
    every : float, optional
        Seconds after which the endpoint gives out new keys; by default, when the old ones expire.
    claimed : float, optional
        Seconds for which keys are valid as the endpoint says, such as more than is true; by default the truth.

    Attributes
    ----------
    given : int
        How many times the endpoint was asked.
    """

    def __init__(
        self, keys: Keys, lifetime: float = 3600.0, *, every: float | None = None, claimed: float | None = None
    ) -> None:
        self.keys = keys
        self.lifetime = timedelta(seconds=lifetime)
        self.every = self.lifetime if every is None else timedelta(seconds=every)
        self.claimed = self.lifetime if claimed is None else timedelta(seconds=claimed)
        self.given = 0
        self._issued: dict[str, Issued] = {}
        self._last: tuple[Issued, datetime] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        tokens = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                body = json.dumps(tokens.credentials()).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="tokens", daemon=True)
        self._thread.start()
        self._folder = tempfile.TemporaryDirectory(prefix="bitesize-tokens-")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """Return the address of the endpoint."""
        return f"http://127.0.0.1:{self._server.server_port}/credentials"

    def options(self, options: dict[str, object]) -> dict[str, object]:
        """Return the options of a store with this endpoint in place of its keys."""
        file = Path(self._folder.name) / "authorization"
        file.write_text("anything")
        rest = {name: value for name, value in options.items() if name not in ("access_key_id", "secret_access_key")}
        return {**rest, "container_credentials_full_uri": self.url, "container_authorization_token_file": str(file)}

    def current(self) -> Issued:
        """Return the keys that the endpoint gives out now."""
        with self._lock:
            now = datetime.now(UTC)
            if self._last is None or now >= self._last[1] + self.every or now >= self._last[0].expires:
                key_id = f"KEY{len(self._issued) + 1}"
                issued = Issued(
                    key_id, secrets.token_hex(20), secrets.token_hex(40), now + self.lifetime, now + self.claimed
                )
                self._issued[key_id] = issued
                self._last = issued, now
            return self._last[0]

    def credentials(self) -> dict[str, str]:
        """Return what the endpoint answers."""
        self.given += 1
        keys = self.current()
        return {
            "AccessKeyId": keys.key_id,
            "SecretAccessKey": keys.secret,
            "Token": keys.token,
            "Expiration": keys.claimed.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def expire(self) -> None:
        """Let all keys expire that were given out."""
        with self._lock:
            now = datetime.now(UTC)
            self._issued = {
                name: Issued(each.key_id, each.secret, each.token, now, each.claimed) for name, each in self._issued.items()
            }
            self._last = None

    def check(self, request: Request) -> Answer | None:
        """Refuse a request of a proxy whose keys are not valid, or sign it with the server's: a guard for `Proxy`."""
        parts = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        issued = self._issued.get(parts[1]) if parts else None
        if parts is None or issued is None:
            return access_denied()
        right = signature(
            request.method, request.path, request.query, request.headers, parts[3].split(";"), issued.secret, parts[2]
        )
        if parts[4] != right or request.headers.get("x-amz-security-token") != issued.token:
            return access_denied()
        if datetime.now(UTC) >= issued.expires:
            return expired_token()
        sign_again(request, self.keys)
        return None
