"""The routes of the explorer: JSON in, JSON and pictures out, one page."""

from __future__ import annotations

import asyncio
import base64
import collections
import dataclasses
import hashlib
import importlib.resources
import itertools
import re
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jaxgen.config import ConfigError
from jaxgen.data.dataset import DataError
from jaxgen.explorer import encode
from jaxgen.explorer.controls import Asked, united
from jaxgen.explorer.guard import Guard
from jaxgen.explorer.subject import Subject
from jaxgen.explorer.worker import Busy, Superseded, Worker
from jaxgen.stored import parse
from jaxgen.views.codes import STEPS

VERSION = 1  # of states, as links hold them
MOST_UPLOAD, MOST_JSON = 20 * 2**20, 64 * 2**10  # bytes
MOST_JOBS = 32  # whose ends are remembered
LANE = re.compile("[A-Za-z0-9]{1,32}")
FILES = {  # of the page -> package, kind
    "explore.css": ("jaxgen.explorer", "text/css"),
    "explore.js": ("jaxgen.explorer", "text/javascript"),
    "page.css": ("jaxgen.report", "text/css"),
}


class Refused(Exception):
    """What is answered instead: a status and a sentence."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


@dataclasses.dataclass
class Job:
    """Something that takes its time.

    Attributes:
        future: what it comes to.
        done: steps of it.
        total: of its steps.
    """

    future: Future[Any]
    total: int
    done: int = 0


class Explorer:
    """One or two runs behind one set of controls."""

    def __init__(self, subjects: Sequence[Subject], worker: Worker):
        """Begins.

        Args:
            subjects: warmed up.
            worker: does all that JAX does.
        """
        self._subjects, self._worker = subjects, worker
        self._controls = united([subject.controls for subject in subjects])
        self._jobs: collections.OrderedDict[str, Job] = collections.OrderedDict()
        self._numbers = itertools.count()

    def app(self, host: str, token: str | None = None, port: int = 0) -> Guard:
        """The application, guarded.

        Args:
            host: that it is bound to.
            token: see `Guard`.
            port: see `Guard`.
        """
        routes = [
            Route("/", _index),
            Route("/favicon.ico", _no_icon),
            Route("/static/{name}", _static),
            Route("/api/session", self._session, methods=["POST"]),
            Route("/api/about", self._about),
            Route("/api/draw", self._draw, methods=["POST"]),
            Route("/api/upload", self._upload, methods=["POST"]),
            Route("/api/search", self._search, methods=["POST"]),
            Route("/api/jobs/{name}", self._job),
            Route("/api/morph", self._morph, methods=["POST"]),
        ]
        handlers = {
            kind: _explained for kind in (Refused, ConfigError, DataError, Superseded, Busy)
        }
        app = Starlette(routes=routes, exception_handlers={**handlers, Exception: _unforeseen})
        self._guard = Guard(app, host, token, port)
        return self._guard

    async def _session(self, request: Request) -> Response:
        body = await _json(request, {"token"})
        cookie = self._guard.session(body.get("token"))
        if cookie is None:
            raise Refused(403, "that is not the token that jaxgen explore has printed")
        return Response(status_code=204, headers={"Set-Cookie": cookie})

    async def _about(self, request: Request) -> Response:
        return JSONResponse(
            {
                "version": VERSION,
                "runs": [subject.as_json() for subject in self._subjects],
                "controls": [control.as_json() for control in self._controls],
                "most_upload": MOST_UPLOAD,
            }
        )

    async def _draw(self, request: Request) -> Response:
        """Pictures of all runs for one state, of the newest request of a page."""
        body = await _json(request, {"lane", "number", "final", "state"})
        lane, number, final = body.get("lane"), body.get("number"), body.get("final")
        if not isinstance(lane, str) or not LANE.fullmatch(lane):
            raise Refused(400, "lane: expected 1 to 32 letters and digits")
        if type(number) is not int or not 0 <= number < 2**53 or type(final) is not bool:
            raise Refused(400, "expected number, a whole one, and final, true or false")
        asked = Asked.of(body.get("state"), self._controls)

        def draw() -> dict[str, Any]:
            start = time.perf_counter()
            shown = [_shown(subject, asked, final) for subject in self._subjects]
            return {
                "number": number,
                "pictures": shown,
                "milliseconds": 1000 * (time.perf_counter() - start),
            }

        return JSONResponse(await self._done(self._worker.newest(lane, number, draw)))

    async def _upload(self, request: Request) -> Response:
        content = await _body(request, MOST_UPLOAD)
        fit = request.query_params.get("fit")
        if not content:
            raise Refused(400, "no picture was sent")
        ident = hashlib.sha256(content + (fit or "").encode()).hexdigest()

        def take() -> list[str | None]:
            out: list[str | None] = []
            for subject in self._subjects:
                try:
                    subject.upload(ident, content, fit)
                    out.append(None)
                except ConfigError as error:
                    out.append(str(error))
            return out

        why = await self._done(self._worker.job(take))
        if all(why):
            raise Refused(400, str(why[0]))
        return JSONResponse({"upload": ident, "why": why})

    async def _search(self, request: Request) -> Response:
        """Begins to look for the codes of an uploaded picture in all runs that need it."""
        body = await _json(request, {"state"})
        asked = Asked.of(body.get("state"), self._controls)
        wanting = [s for s in self._subjects if s.needs_search(asked)]
        job = Job(Future(), STEPS * len(wanting))

        def advance(step: int) -> None:
            job.done += 1

        def search() -> None:
            for subject in wanting:
                subject.search(str(asked.upload), advance)

        job.future = self._worker.job(search)
        name = str(next(self._numbers))
        self._jobs[name] = job
        while len(self._jobs) > MOST_JOBS:
            self._jobs.popitem(last=False)
        return JSONResponse({"job": name}, 202)

    async def _job(self, request: Request) -> Response:
        job = self._jobs.get(request.path_params["name"])
        if job is None:
            raise Refused(404, "there is no such job")
        over = job.future.done()
        if over:
            await self._done(job.future)  # raises what it has
        return JSONResponse({"over": over, "done": job.done, "total": job.total})

    async def _morph(self, request: Request) -> Response:
        body = await _json(request, {"run", "first", "second", "format"})
        number, kind = body.get("run"), body.get("format")
        if type(number) is not int or not 0 <= number < len(self._subjects):
            raise Refused(400, f"run: expected a whole number below {len(self._subjects)}")
        if kind not in encode.FILMS:
            raise Refused(400, f"format: expected one of {', '.join(encode.FILMS)}")
        ends = [Asked.of(body.get(k), self._controls) for k in ("first", "second")]
        subject = self._subjects[number]

        def morph() -> bytes:
            return encode.film(list(subject.morph(*ends)), kind)

        content = await self._done(self._worker.job(morph))
        return Response(content, media_type=encode.FILMS[kind])

    async def _done(self, future: Future[Any]) -> Any:
        return await asyncio.wrap_future(future)


def _shown(subject: Subject, asked: Asked, final: bool) -> dict[str, Any]:
    """The picture of a run, or why there is none; all that is known of it when it is `final`."""
    try:
        if subject.needs_search(asked):
            return {"search": True}
        x = subject.draw(asked, final)
        image = subject.shown(x)
        dragged = not final and image.shape[-1] <= 3
        content = encode.jpeg(image) if dragged else encode.png(image)
        out: dict[str, Any] = {
            "type": "image/jpeg" if dragged else "image/png",
            "data": base64.b64encode(content).decode(),
        }
        if final:
            out["error"] = subject.error(asked, x)
            out["likelihood"] = subject.likelihood(x, asked)
            out |= subject.command(asked)
        return out
    except (ConfigError, DataError) as error:
        return {"problem": str(error)}


async def _body(request: Request, most: int) -> bytes:
    """Of a request; what is too large is not read to its end."""
    length = request.headers.get("content-length", "")
    parts, size = [], 0
    if not (length.isdigit() and int(length) > most):
        try:
            async for part in request.stream():
                size += len(part)
                if size > most:
                    break
                parts.append(part)
            else:
                return b"".join(parts)
        except ClientDisconnect:
            raise Refused(400, "the request was cut short") from None
    raise Refused(413, f"expected at most {most / 2**20:g} MiB")


async def _json(request: Request, names: set[str]) -> dict[str, Any]:
    """The object in a request."""
    try:
        found = parse(await _body(request, MOST_JSON))
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"no JSON that can be read: {error}") from None
    if not isinstance(found, dict) or set(found) - names:
        raise Refused(400, f"expected an object with {', '.join(sorted(names))}")
    return found


def _file(package: str, name: str) -> bytes:
    return (importlib.resources.files(package) / "static" / name).read_bytes()


async def _index(request: Request) -> Response:
    return Response(_file("jaxgen.explorer", "index.html"), media_type="text/html")


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in FILES:
        raise Refused(404, "there is no such file")
    package, kind = FILES[name]
    return Response(_file(package, name), media_type=kind)


async def _no_icon(request: Request) -> Response:
    return Response(status_code=204)


async def _explained(request: Request, error: Exception) -> Response:
    if isinstance(error, Refused):
        return JSONResponse({"error": str(error)}, error.status)
    if isinstance(error, Superseded):
        return JSONResponse({"superseded": True})
    if isinstance(error, Busy):
        return JSONResponse({"error": "too much is waiting: try again"}, 503)
    return JSONResponse({"error": str(error)}, 400)


async def _unforeseen(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "an unexpected error, which the terminal shows"}, 500)
