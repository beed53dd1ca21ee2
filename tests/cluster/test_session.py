"""A connection to Ray leaves nothing behind in the process."""

from __future__ import annotations

import os

import pytest

from bitesize.cluster.session import connected
from bitesize.cluster.workers import Workers

pytest.importorskip("ray", reason="ray is not installed")


def test_variables_of_a_cluster_on_this_machine_end_with_it(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("PYTHONBREAKPOINT", "0")
    with connected(Workers(1)) as session:
        assert session.address is None
    assert "RAY_AUTH_MODE" not in os.environ
    assert os.environ["PYTHONBREAKPOINT"] == "0"
