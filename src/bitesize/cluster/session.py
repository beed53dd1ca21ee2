"""A connection to Ray: a cluster that runs already, or one on this machine until the work is done."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bitesize.cluster.workers import Workers
from bitesize.errors import BadSetting, MissingPackage, RequestFailed
from bitesize.memory.limits import usable_cpus

_log = logging.getLogger("bitesize")
# Seconds until the head of a cluster must have answered. Ray itself would try for minutes.
_PATIENCE = 5.0
# Variables that Ray sets for a cluster that it starts here. They must not reach the next connection, of this process or its children:
# a driver that asks for tokens loses its actors in a cluster without.
_OF_CLUSTER = ("RAY_AUTH_MODE", "PYTHONBREAKPOINT")
# Ray sends usage statistics and warns of settings of its own, unless these say otherwise.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_TRAIN_V2_ENABLED": "1"}


@dataclass(frozen=True)
class Session:
    """A connection to Ray.

    Parameters
    ----------
    ray
        The module ``ray``, connected.
    address
        Address of the cluster; None for one on this machine that ends with the work.
    hosts
        Number of machines in the cluster.
    cpus, gpus
        Processors and GPUs of the cluster.
    """

    ray: Any
    address: str | None
    hosts: int
    cpus: int
    gpus: int

    @property
    def described(self) -> str:
        """Description of the cluster, as text."""
        if self.address is None:
            return "Ray on this machine, until the work is done (--address changes this)"
        gpus = f", {self.gpus} GPUs" if self.gpus else ""
        machines = "1 machine" if self.hosts == 1 else f"{self.hosts} machines"
        return f"Ray at {self.address}: {machines}, {self.cpus} processors{gpus}"


@contextlib.contextmanager
def connected(workers: Workers) -> Iterator[Session]:
    """Connect to the cluster of `Workers.address`, or start Ray on this machine; end the connection after the block.

    A connection that the program has made already is used, and stays.

    Raises
    ------
    MissingPackage
        If Ray is not installed.
    BadSetting
        If there is no cluster at the address, its version differs, or it has too few processors or GPUs.
    """
    ray = _import_ray(workers)
    ours = not ray.is_initialized()
    before = {name: os.environ.get(name) for name in _OF_CLUSTER}
    try:
        address = _connect(ray, workers) if ours else ray.get_runtime_context().gcs_address
        resources = ray.cluster_resources()
        alive = [node for node in ray.nodes() if node["Alive"]]
        session = Session(ray, address, len(alive), int(resources.get("CPU", 0)), int(resources.get("GPU", 0)))
        _refuse_too_few(session, workers)
        _log.info("%s", session.described)
        yield session
    finally:
        if ours:
            ray.shutdown()
            _restore(before)


def _restore(variables: dict[str, str | None]) -> None:
    """Restore variables of the environment."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _import_ray(workers: Workers) -> Any:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise MissingPackage(f"--workers {workers} needs Ray: pip install 'bitesize[ray]'") from error
    return ray


def _connect(ray: Any, workers: Workers) -> str | None:
    """Connect, and return the address of the cluster; None if Ray was started here."""
    address = workers.address or os.environ.get("RAY_ADDRESS") or None
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None or address == "local":
        cpus = usable_cpus()
        if workers.fewest > cpus:
            raise BadSetting(
                f"--workers {workers} needs {workers.fewest} processors, but this process may use {cpus}: use fewer workers, or --address "
                "of a cluster"
            )
        ray.init("local", num_cpus=cpus, include_dashboard=False, **settings)
        return None
    origin = "" if workers.address else " (from RAY_ADDRESS)"
    _refuse_silent(address, origin)
    try:
        ray.init(address, **({} if address.startswith("ray://") else settings))
    except Exception as error:
        raise BadSetting(
            f"no connection to Ray at {address}{origin}: {_first_line(error)}. A cluster that asks for tokens needs RAY_AUTH_MODE=token "
            "here, too"
        ) from error
    _refuse_other_tokens(ray, address)
    return address


class _Probe:
    """Actor that does nothing."""

    def answer(self) -> None:
        """Return when the actor runs."""


def _refuse_other_tokens(ray: Any, address: str) -> None:
    """Raise for a cluster without tokens, if this process sends them: it takes the connection, and then ends all actors."""
    probe = ray.remote(_Probe).options(num_cpus=0).remote()
    try:
        ray.get(probe.answer.remote())
    except ray.exceptions.ActorDiedError as error:
        raise BadSetting(
            f"the cluster at {address} ends what this program starts, as one without tokens does if a program sends them: unset "
            "RAY_AUTH_MODE here, or start the cluster with RAY_AUTH_MODE=token. A process in which Ray ran without an address sends "
            "tokens until it ends: use another process"
        ) from error


def _refuse_silent(address: str, origin: str) -> None:
    """Raise if no server listens at an address."""
    scheme, _, rest = address.rpartition("://")
    if address == "auto":
        return
    host, _, port = rest.rpartition(":")
    if scheme not in ("", "ray") or not host or not port.isdigit():
        raise BadSetting(f"--address must be auto, HOST:PORT or ray://HOST:PORT, not {address}{origin}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
    except OSError as error:
        raise RequestFailed(
            f"no cluster of Ray answers at {address}{origin}: {error}. `ray start --head` starts one and prints its address"
        ) from error


def _refuse_too_few(session: Session, workers: Workers) -> None:
    need, gpus = workers.fewest, workers.fewest * workers.gpus_per_worker
    where = session.address or "this machine"
    if need > session.cpus:
        raise BadSetting(f"--workers {workers} needs {need} processors, but {where} has {session.cpus}: use fewer workers")
    if gpus > session.gpus:
        raise BadSetting(
            f"--workers {workers} with --gpus-per-worker {workers.gpus_per_worker} needs {gpus} GPUs, but {where} has {session.gpus}"
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
