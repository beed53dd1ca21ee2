"""Server programs are found, started on ports of their own, and ended with their children."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from tests.servers.programs import FOLDER, MODULES, DidNotStart, ProgramMissing, answers, find, free_ports, running

SERVER = """
    import http.server, subprocess, sys
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    print("child", child.pid, flush=True)
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def program(text: str):
    return lambda ports, folder: [sys.executable, "-c", textwrap.dedent(text), *map(str, ports)]


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_missing_program_is_named_with_the_line_that_installs_it():
    with pytest.raises(
        ProgramMissing,
        match=rf"no-such-server is not installed: pip install -r tests.servers.requirements.txt, .* in {FOLDER}",
    ):
        find("no-such-server")


def test_the_folder_of_the_environment_comes_first(tmp_path, monkeypatch):
    name = "weed.exe" if sys.platform == "win32" else "weed"
    (tmp_path / name).write_text("#!/bin/sh\n")
    (tmp_path / name).chmod(0o755)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert os.path.samefile(find("weed"), tmp_path / name)


def test_ports_are_distinct():
    assert len(set(free_ports(20))) == 20


def test_a_server_runs_until_the_block_ends_and_its_children_with_it():
    with running(program(SERVER), ports=2) as server:
        connection = http.client.HTTPConnection(server.address)
        connection.request("GET", "/")
        assert connection.getresponse().read()
        connection.close()
        child = int(server.log.read_text().split()[1])
        assert lives(child)
        assert server.process.poll() is None
    assert server.process.poll() is not None
    deadline = time.monotonic() + 10  # a child of a process that has ended waits for its new parent
    while lives(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not lives(child)
    assert not server.folder.exists()


def test_a_server_that_ends_is_started_again_and_then_shown_with_its_log():
    text = "import sys; print('port', sys.argv[1], 'is taken'); sys.exit(3)"
    with pytest.raises(DidNotStart, match=r"ended with status 3; the end of its log:\s+port \d+ is taken"):
        running(program(text)).__enter__()


def test_a_server_whose_port_was_taken_gets_another():
    text = """
        import os, sys
        if os.path.basename(os.getcwd()) == "data1":
            sys.exit("taken")
    """
    with running(program(textwrap.dedent(text) + textwrap.dedent(SERVER))) as server:
        assert server.folder.name == "data2"


def test_a_server_that_does_not_answer_is_ended():
    with pytest.raises(DidNotStart, match=r"did not answer within 0\.5 s; the end of its log:\s+waiting"):
        running(program("import time; print('waiting', flush=True); time.sleep(1000)"), seconds=0.5).__enter__()


def test_a_server_ends_with_a_parent_that_is_killed(tmp_path):
    text = """
        import os, sys, time
        from tests.servers.programs import running
        from tests.servers.test_programs import SERVER, program
        with running(program(SERVER)) as server:
            print(server.ports[0], flush=True)
            time.sleep(1000)
    """
    environment = {**os.environ, **MODULES, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(text)], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert answers(port)
        parent.kill()
    deadline = time.monotonic() + 30
    while answers(port):
        assert time.monotonic() < deadline
        time.sleep(0.05)
