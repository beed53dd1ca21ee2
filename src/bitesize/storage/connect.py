"""Connections of obstore, made from an address and the settings of the user."""

from __future__ import annotations

import configparser
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from bitesize.errors import BadSetting, MissingPackage, one_line
from bitesize.packages import is_installed, pip_install

# Settings of obstore's HTTP client; all others are of the store.
_CLIENT = {
    "allow_http", "allow_invalid_certificates", "connect_timeout", "default_headers", "http1_only", "http2_only", "pool_idle_timeout",
    "pool_max_idle_per_host", "proxy_url", "proxy_ca_certificate", "proxy_excludes", "root_certificate", "timeout", "user_agent",
}  # fmt: skip
# Other names of settings of S3, as the environment and other libraries have them.
_NAMES = {
    "aws_access_key_id": "access_key_id", "aws_secret_access_key": "secret_access_key", "aws_session_token": "session_token",
    "aws_token": "session_token", "token": "session_token", "aws_region": "region", "aws_endpoint": "endpoint",
    "aws_endpoint_url": "endpoint", "endpoint_url": "endpoint",
}  # fmt: skip
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")  # of the environment, as obstore reads them
_TIMEOUT = timedelta(seconds=20)  # of one try, which asks for 8 MiB at most
_CONNECT = timedelta(seconds=5)
_IDLE = timedelta(seconds=2)  # after which a connection is closed: each keeps up to a megabyte


class Connector:
    """Makes connections to one bucket, container or host.

    Parameters
    ----------
    root
        Such as ``s3://bucket``.
    options
        Settings of the user.
    """

    def __init__(self, root: str, options: Mapping[str, Any]) -> None:
        if not is_installed("obstore"):
            raise MissingPackage(f"{root} needs obstore: {pip_install('obstore')}")
        self.root = root
        self.scheme, _, self.name = root.partition("://")
        if not self.name:
            raise BadSetting(f"{root}/ names no bucket or host: write {self.scheme}://NAME/...")
        options = {**dict(options.get("client_options", {})), **options}  # as obstore takes them, too
        options.pop("client_options", None)
        if self.scheme == "s3":
            options = {_NAMES.get(name.lower(), name): value for name, value in options.items()}
        self._client = {name: value for name, value in options.items() if name in _CLIENT}
        self._config = {name: value for name, value in options.items() if name not in _CLIENT}
        if _is_true(self._config.pop("anonymous", False)):
            self._config["skip_signature"] = True
        if _is_true(self._config.pop("requester_pays", False)):
            self._config["request_payer"] = True
        self._profile = self._config.pop("profile", None)

    @property
    def is_web(self) -> bool:
        """Return whether it is a plain web server, without lists."""
        return self.scheme in ("http", "https")

    @property
    def lists_in_order(self) -> bool:
        """Return whether listings are in the order of keys, so that one that broke can go on; others begin again. Directory buckets have none."""
        return self.scheme in ("s3", "gs") and not self.name.endswith("--x-s3")

    @property
    def server(self) -> str:
        """Return the endpoint of the settings or of the environment; empty for that of the provider."""
        return self._endpoint(self._config)[0]

    def region_of_bucket(self) -> str:
        """Return the region of a bucket of S3, which the server names also to those who may not read it; empty if it does not."""
        if self.scheme != "s3":
            return ""
        endpoint = self._endpoint(self._config)[0] or "https://s3.amazonaws.com"
        request = urllib.request.Request(f"{endpoint.rstrip('/')}/{self.name}", method="HEAD")  # noqa: S310 - checked above
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=_CONNECT.total_seconds()) as answer:
                return str(answer.headers.get("x-amz-bucket-region", ""))
        except urllib.error.HTTPError as error:
            return str(error.headers.get("x-amz-bucket-region", ""))
        except OSError:  # the error that made us ask is raised anyway
            return ""

    def connect(self, retries: int = 0) -> Any:
        """Return a new store of obstore, whose own tries are limited: `Limiter.perform` repeats requests.

        Raises
        ------
        BadSetting
            If obstore refuses the settings.
        """
        from obstore import store as stores

        config = {**_profile_of(self._profile, self._config), **self._config} if self.scheme == "s3" else self._config
        endpoint, setting = self._endpoint(config)
        if endpoint and not endpoint.startswith(("http://", "https://")):
            raise BadSetting(f"{self.root}: {setting} is no address of a server: it starts with https://, or http://")
        client = {"timeout": _TIMEOUT, "connect_timeout": _CONNECT, "pool_idle_timeout": _IDLE, **self._client}
        if endpoint.startswith("http://") or self.scheme == "http":
            client.setdefault("allow_http", True)
        retry = {"max_retries": retries, "retry_timeout": timedelta(seconds=60)}
        try:
            if self.is_web:
                if self._config:
                    raise BadSetting(
                        f"{self.root} is a web server: storage_options {', '.join(map(repr, self._config))} do not apply"
                    )
                return stores.HTTPStore.from_url(self.root, client_options=client, retry_config=retry)  # type: ignore[arg-type]
            if self.scheme == "s3":
                config.setdefault(
                    "region", os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
                )
                return stores.S3Store(self.name, client_options=client, retry_config=retry, **config)  # type: ignore[arg-type]
            if self.scheme == "gs":
                return stores.GCSStore(self.name, client_options=client, retry_config=retry, **config)  # type: ignore[arg-type]
            return stores.AzureStore(self.name, client_options=client, retry_config=retry, **config)  # type: ignore[arg-type]
        except BadSetting:
            raise
        except Exception as error:  # noqa: BLE001 - its cause would show values
            raise BadSetting(f"{self.root} cannot be opened with these storage_options: {self._said(error)}") from None

    def _endpoint(self, config: Mapping[str, Any]) -> tuple[str, str]:
        """Return the address of the server that the settings name, and the setting; empty if none does."""
        if config.get("endpoint"):
            return str(config["endpoint"]), "the endpoint of storage_options or the profile"
        name = next((name for name in _ENDPOINTS if self.scheme == "s3" and os.environ.get(name)), "")
        return os.environ.get(name, ""), name

    def _said(self, error: Exception) -> str:
        """Return what obstore says of settings, without their values, which may be secret."""
        text = one_line(str(error).partition("\n\nDebug source:")[0], 300)
        values = sorted({str(value) for value in (*self._client.values(), *self._config.values())}, key=len, reverse=True)
        for value in filter(None, values):
            text = text.replace(f'"{value}"', "a value")
        return text


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, because that answer names the region."""

    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect."""
        return


def _is_true(value: object) -> bool:
    return str(value).lower() in ("1", "true", "yes")


def _profile_of(profile: str | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the credentials and the region of a profile of AWS, if neither the user nor the environment names credentials.

    Profiles with keys are read from ``~/.aws/credentials``; others, such as roles and single sign-on, need boto3.
    """
    given = any(name in config for name in ("access_key_id", "skip_signature", "credential_provider"))
    in_environment = "AWS_ACCESS_KEY_ID" in os.environ
    name = profile or os.environ.get("AWS_PROFILE")
    if given or (in_environment and not name):
        return {}
    files = configparser.ConfigParser(interpolation=None)
    files.read(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", os.path.expanduser("~/.aws/credentials")))
    others = configparser.ConfigParser(interpolation=None)
    others.read(os.environ.get("AWS_CONFIG_FILE", os.path.expanduser("~/.aws/config")))
    section = name or "default"
    found: dict[str, str] = {}
    for parser, title in ((others, section if section == "default" else f"profile {section}"), (files, section)):
        if parser.has_section(title):
            found |= dict(parser[title])
    if name and not found:
        raise BadSetting(f"there is no profile {name!r} in ~/.aws/credentials or ~/.aws/config")
    known = {
        "access_key_id": found.get("aws_access_key_id"),
        "secret_access_key": found.get("aws_secret_access_key"),
        "session_token": found.get("aws_session_token"),
        "region": found.get("region"),
        "endpoint": found.get("endpoint_url"),
    }
    if (
        found
        and not known["access_key_id"]
        and {"role_arn", "sso_session", "sso_start_url", "credential_process"} & set(found)
    ):
        if not is_installed("boto3"):
            raise MissingPackage(
                f"the profile {section!r} of AWS has no keys but a role or a sign-on, which needs boto3: {pip_install('boto3')}"
            )
        import boto3
        from obstore.auth.boto3 import Boto3CredentialProvider

        return {"credential_provider": Boto3CredentialProvider(boto3.Session(profile_name=section))}
    return {name: value for name, value in known.items() if value}
