"""Serves the explorer: a free port, the address, until Ctrl-C."""

from __future__ import annotations

import errno
import getpass
import importlib.util
import socket
from collections.abc import Callable, Sequence
from typing import Any

from jaxgen import progress
from jaxgen.config import ConfigError

PORT, TRIES = 8787, 20  # the first port, and how many
HOST = "127.0.0.1"
CONNECTIONS = 24  # at a time, each of which may hold an upload in memory
NEEDS = ("starlette", "uvicorn")


def check(host: str, token: str | None) -> str | None:
    """Before anything is loaded: the packages of a server, and the token that will be asked for.

    Raises:
        ConfigError: naming the extra, or what a token has to be.
    """
    if missing := [name for name in NEEDS if importlib.util.find_spec(name) is None]:
        raise ConfigError(
            f"the explorer needs {' and '.join(missing)}: pip install 'jaxgen[explore]'"
        )
    from jaxgen.explorer.guard import checked_token

    return checked_token(host, token)


def explore(
    run: Any,
    second: Any = None,
    port: int = PORT,
    host: str = HOST,
    token: str | None = None,
    words: Sequence[str] = (),
) -> None:
    """Serves a page on which a run is explored, until Ctrl-C.

    Args:
        run: of images; see `jaxgen.load`.
        second: a run that is shown beside it, under the same controls.
        port: where it listens; the next free one, if that is taken.
        host: address that it listens at. Other machines reach others than the default.
        token: that the page asks for; None makes one for such hosts.
        words: further options of the commands that load the same.

    Raises:
        ConfigError: for a run that cannot be explored, an address that cannot be had, or packages
            that are missing.
    """
    token = check(host, token)
    import uvicorn

    from jaxgen.explorer.server import Explorer
    from jaxgen.explorer.subject import Subject
    from jaxgen.explorer.worker import Worker

    listening = free_socket(host, port)
    worker = Worker()
    try:
        runs = [run] if second is None else [run, second]
        subjects = [Subject(one, words) for one in runs]
        for subject in subjects:
            with progress.stage(f"compiling {subject.name}"):
                worker.job(subject.warm_up).result()
        found = listening.getsockname()[1]
        app = Explorer(subjects, worker).app(host, token, found)
        progress.rest()
        for line in said(host, found, port, token, [n for s in subjects for n in s.notes]):
            print(line, flush=True)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            loop="asyncio",
            http="h11",
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()
        worker.close()


def said(
    host: str,
    port: int,
    wanted: int,
    token: str | None,
    notes: Sequence[str] = (),
    user: Callable[[], str] = getpass.getuser,
) -> list[str]:
    """What is printed when the page can be opened.

    Args:
        host: that was asked for.
        port: that was found.
        wanted: that was asked for.
        token: None for none.
        notes: of the runs.
        user: gives the name of who serves.
    """
    from jaxgen.explorer.guard import EVERY, is_loopback

    out = [f"note: {note}" for note in notes]
    if port != wanted:
        out.append(f"port {wanted} is taken: {port} is the next free one")
    named = socket.gethostname() if host in EVERY else "localhost" if is_loopback(host) else host
    shown = f"[{named}]" if ":" in named else named
    fragment = f"#token={token}" if token else ""
    out.append(f"explore at http://{shown}:{port}/{fragment}")
    if is_loopback(host):
        try:
            who = f"{user()}@"
        except (OSError, KeyError):  # of a user without a name
            who = ""
        there = f"{who}{socket.gethostname()}"
        out.append(f"from another machine: ssh -L {port}:localhost:{port} {there}")
    else:
        out.append(
            "other machines reach it: the token goes over the network as it is, so use networks "
            "that you trust, or leave --host out and use ssh -L"
        )
    return [*out, "Ctrl-C ends it"]


def free_socket(host: str, port: int) -> socket.socket:
    """A socket that listens at `port`, or at the next one that is free.

    Raises:
        ConfigError: for an address that this machine has not, or where no port is free.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host={host}: {error}; expected a name or address of here") from None
    for tried in range(port, min(port + TRIES, 65536)):
        found = socket.socket(family, socket.SOCK_STREAM)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((address[0], tried, *address[2:]))
            found.listen(64)
            return found
        except OSError as error:
            found.close()
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(
                    f"--host={host} --port={tried} cannot be had: {error.strerror or error}"
                ) from None
    raise ConfigError(f"--port={port}: none of {TRIES} ports from there is free: name another")
