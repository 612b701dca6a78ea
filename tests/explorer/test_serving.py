"""Ports, addresses and what is said of them; the command's mistakes."""

import importlib.util
import socket
import types

import pytest

from jaxgen.config import ConfigError
from jaxgen.explorer import commands
from jaxgen.explorer.serving import check, free_socket, said


def test_the_next_free_port():
    with free_socket("127.0.0.1", 18787) as first:
        taken = first.getsockname()[1]
        with free_socket("127.0.0.1", taken) as second:
            found = second.getsockname()
            assert found[0] == "127.0.0.1" and taken < found[1] < taken + 20
            lines = said("127.0.0.1", found[1], taken, None)
            assert lines[0] == f"port {taken} is taken: {found[1]} is the next free one"


def test_no_free_port(monkeypatch):
    monkeypatch.setattr("jaxgen.explorer.serving.TRIES", 1)
    with free_socket("127.0.0.1", 18787) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port={port}: none of 1 ports"):
            free_socket("127.0.0.1", port)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such name.invalid"])
def test_addresses_of_others(host):
    with pytest.raises(ConfigError, match=f"--host={host}.*(cannot be had|expected a name)"):
        free_socket(host, 18787)


def test_it_listens_at_loopback_alone():
    with free_socket("127.0.0.1", 18787) as found:
        assert found.getsockname()[0] == "127.0.0.1"


def test_what_is_said(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "machine")
    assert said("127.0.0.1", 8787, 8787, None, ["a note"], lambda: "me") == [
        "note: a note",
        "explore at http://localhost:8787/",
        "from another machine: ssh -L 8787:localhost:8787 me@machine",
        "Ctrl-C ends it",
    ]
    address, warning, _ = said("0.0.0.0", 8787, 8787, "secret")
    assert address == "explore at http://machine:8787/#token=secret"
    assert "networks that you trust" in warning
    assert said("::2", 1, 1, "t")[0] == "explore at http://[::2]:1/#token=t"


def test_without_the_extra(monkeypatch, jaxgen_command):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "uvicorn" else found(n, *a)
    )
    said = jaxgen_command("explore", "nowhere", code=2)
    message = "the explorer needs uvicorn: pip install 'jaxgen[explore]'"
    assert said.err == f"jaxgen: error: {message}\n"
    with pytest.raises(ConfigError, match="needs uvicorn"):
        check("127.0.0.1", None)


def test_a_token_that_can_be_guessed_is_refused_first(jaxgen_command):
    pytest.importorskip("uvicorn", reason="needs jaxgen[explore]")
    said = jaxgen_command("explore", "nowhere", "--host=0.0.0.0", "--token=x", code=2)
    assert said.err.startswith("jaxgen: error: --token: expected 16 or more")


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("vector", (), "toys has no images"),
        ("image", ("label", "text"), "is given text: runs that"),
    ],
)
def test_runs_that_cannot_be_explored(kind, given, message):
    from jaxgen.explorer.subject import Subject

    method = types.SimpleNamespace(given=given)
    spec = types.SimpleNamespace(name="toys", x=types.SimpleNamespace(kind=kind))
    directory = types.SimpleNamespace(path="runs/a")
    with pytest.raises(ConfigError, match=message):
        Subject(types.SimpleNamespace(method=method, spec=spec, directory=directory))


def test_the_command_serves(jaxgen_command, zoo, monkeypatch):
    """All but the loop of the server: what is printed, and what listens where."""
    uvicorn = pytest.importorskip("uvicorn", reason="needs jaxgen[explore]")
    from jaxgen.explorer.subject import Subject

    served = {}

    def serve(server, sockets):
        served["at"] = sockets[0].getsockname()
        served["app"] = server.config.app

    monkeypatch.setattr(uvicorn.Server, "run", serve)
    monkeypatch.setattr(Subject, "warm_up", lambda self: None)
    runs = [zoo.run(name).workdir for name in ("vae", "flow")]
    with free_socket("127.0.0.1", 18787) as first:
        port = first.getsockname()[1]
        out = jaxgen_command("explore", *runs, f"--port={port}").out.splitlines()
    host, found = served["at"]
    assert host == "127.0.0.1" and found > port
    assert out[0] == f"port {port} is taken: {found} is the next free one"
    assert out[1] == f"explore at http://localhost:{found}/"
    assert out[2].startswith(f"from another machine: ssh -L {found}:localhost:{found} ")
    assert served["app"].token is None and served["app"].cookie == f"jaxgen-{found}"
    words = (f"--port={port}", "--host=0.0.0.0", "--average=none")
    out = jaxgen_command("explore", runs[1], *words).out.splitlines()
    assert served["at"][0] == "0.0.0.0" and len(served["app"].token) >= 32
    assert out[0].endswith(f":{port}/#token={served['app'].token}")


RUN = ["jaxgen", "/a run", "--step=7", "--average=slow"]


def test_commands():
    def line(seed=3, knobs=None, changes=None, groups=0, searches=False):
        knobs, changes = knobs or {}, changes or {}
        found = commands.command(RUN, seed, knobs, changes, groups, searches)
        return found["command"], found["exact"]

    plain, exact = line(knobs={"temperature": 0.7, "class": 3})
    assert exact and plain.startswith(
        "jaxgen sample '/a run' --step=7 --average=slow --num=1 --seed=3 --temperature=0.7 "
        "--class=3 --out=explored-"
    )
    edit, exact = line(None, changes={"move.it's": -1.5})
    assert not exact and "edit '/a run' PICTURE.png" in edit and "--strength=-1.5..-1.5" in edit
    assert "'--attribute=it'\"'\"'s'" in edit
    assert " reconstruct " in line(None)[0] and " project " in line(None, searches=True)[0]
    assert line(groups=2)[0].endswith(".png") and "--groups=2" in line(groups=2)[0]
    for several in ({"move.a": 1.0, "move.b": 1.0}, {"level.0": 0.5}):
        found = commands.command(RUN, 3, {}, several, 0, False)
        assert found["command"] is None and found["why"].startswith("No one command")
    assert len({line(s)[0] for s in range(5)}) == 5
