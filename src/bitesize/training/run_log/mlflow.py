"""Events for MLflow: a run with the settings as parameters, and metrics per epoch."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from bitesize.errors import RequestFailed, one_line
from bitesize.outputs.base import import_framework
from bitesize.training.run_log.writer import Event, LoggedRun, Writer, figures, step

EXPERIMENT = "bitesize"
# Tag of a run of MLflow with the identity of the run of bitesize: by it, a resumed training finds its run again.
_TAG = "bitesize.run"
_STATES = {"finished": "FINISHED", "stopped early": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
# MLflow itself tries a server that does not answer for minutes.
_QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
# The most characters of a parameter that every server of MLflow takes.
_MOST = 500


class MLflow(Writer):
    """Writer of one run of MLflow, at the server and in the experiment that MLflow's environment variables name.

    Parameters
    ----------
    run
        The run.
    """

    title = "MLflow"
    fills = True

    def __init__(self, run: LoggedRun) -> None:
        self._run = run
        self._client: Any = None
        self._id = ""
        self._batches = 0
        self._known: dict[str, set[int]] = {"epoch": set(), "batch": set()}  # steps that earlier sessions have logged

    @staticmethod
    def check() -> str:
        """Return a line on the tracker, or raise: `MissingPackage`, or `RequestFailed` if it cannot be read."""
        mlflow = import_framework("mlflow", "--log mlflow: MLflow", "mlflow")
        with _quick(uri := mlflow.get_tracking_uri()):
            mlflow.MlflowClient().search_experiments(max_results=1)
        name = "" if os.environ.get("MLFLOW_EXPERIMENT_ID") else f", experiment {_experiment_name()}"
        return f"log: MLflow at {uri}{name} (MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME change this)"

    def start(self, event: Event) -> None:
        """Create the run, or open that of an earlier session."""
        import mlflow

        self._batches = event["batches"]
        with _quick(mlflow.get_tracking_uri()):
            self._client = mlflow.MlflowClient()
            experiment = _experiment(self._client)
            found = self._client.search_runs([experiment], f"tags.`{_TAG}` = '{self._run.run}'", max_results=1)
            run = (
                found[0] if found else self._client.create_run(experiment, tags=self._tags(event), run_name=self._run.shown)
            )
            self._id = run.info.run_id
            if found:
                self._client.update_run(self._id, status="RUNNING")
                self._known = {"epoch": self._steps("rows_per_second"), "batch": self._steps("batch/rows_per_second")}
            self._parameters({name: event[name] for name in ("rows", "val_rows", "batches")}, run.data.params)

    def batch(self, event: Event) -> None:
        """Write the figures after a batch, over trained batches."""
        self._metrics("batch", event, step(event, self._batches), "batch/")

    def epoch(self, event: Event) -> None:
        """Write the figures of an epoch, over epochs, and the verdict as a tag."""
        self._metrics("epoch", event, event["epoch"], "")
        self._client.set_tag(self._id, "bitesize.verdict", event["verdict"])

    def end(self, event: Event) -> None:
        """End the run of MLflow."""
        if self._id:
            self._client.set_tag(self._id, "bitesize.reason", event["reason"])
            if event["best_epoch"] is not None:
                self._client.set_tag(self._id, "bitesize.best_epoch", str(event["best_epoch"]))
            self._client.set_terminated(self._id, _STATES[event["reason"]])

    def _tags(self, event: Event) -> dict[str, str]:
        return {_TAG: self._run.run, "mlflow.source.name": "bitesize train", "bitesize.command": event["command"], **_user()}

    def _steps(self, key: str) -> set[int]:
        return {metric.step for metric in self._client.get_metric_history(self._id, key)}

    def _parameters(self, more: dict[str, Any], known: dict[str, str]) -> None:
        """Write the settings. MLflow refuses to change a parameter, such as the epochs of a run that is trained longer."""
        from mlflow.entities import Param

        values = {name: value for name, value in {**self._run.settings, **more}.items() if value not in (None, ())}
        params = [Param(_name(name), str(value)[:_MOST]) for name, value in values.items() if _name(name) not in known]
        if params:
            self._client.log_batch(self._id, params=params)

    def _metrics(self, kind: str, event: Event, at: int, prefix: str) -> None:
        from mlflow.entities import Metric

        if at in self._known[kind]:
            return  # it is there, and training it again after a kill has the same result
        time = int(datetime.fromisoformat(event["time"]).timestamp() * 1000)
        metrics = [Metric(_name(f"{prefix}{name}"), value, time, at) for name, value in figures(event).items()]
        self._client.log_batch(self._id, metrics=metrics)


@contextlib.contextmanager
def _quick(uri: str) -> Iterator[None]:
    """Make requests within the block fail after seconds, with an error that names the server."""
    added = {name: value for name, value in _QUICK.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    except Exception as error:
        raise RequestFailed(
            f"--log mlflow: MLflow cannot be used at {uri}: {one_line(error, 300)}. MLFLOW_TRACKING_URI sets another address; without --log "
            "mlflow, training starts"
        ) from error
    finally:
        for name in added:
            os.environ.pop(name, None)


def _experiment_name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


def _experiment(client: Any) -> str:
    """Return the identity of the experiment, which is created if it does not exist."""
    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return given
    name = _experiment_name()
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except Exception:
            found = client.get_experiment_by_name(name)
            if found is None:  # otherwise another process was first
                raise
    return str(found.experiment_id)


def _user() -> dict[str, str]:
    import getpass

    try:
        return {"mlflow.user": getpass.getuser()}
    except (OSError, KeyError, ImportError):  # a container without users
        return {}


def _name(name: str) -> str:
    """Return a name with the characters that MLflow takes."""
    return re.sub(r"[^\w\-./ ]", "_", name)
