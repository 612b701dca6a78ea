"""Who is let through to the explorer; each test fails without its rule."""

import re

import pytest

pytest.importorskip("starlette", reason="needs jaxgen[explore]")
pytest.importorskip("httpx2", reason="needs jaxgen[test]")

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from jaxgen.config import ConfigError
from jaxgen.explorer import guard
from jaxgen.explorer.guard import Guard

TOKEN = "a token of some length"
PORT = 8787


async def _reached(request):
    return PlainTextResponse("reached")


def guarded(host="127.0.0.1", token=None):
    paths = ("/", "/api/about", "/api/draw", "/api/session", "/static/explore.js")
    app = Starlette(routes=[Route(p, _reached, methods=["GET", "POST"]) for p in paths])
    return Guard(app, host, token, PORT)


def ask(app, path="/api/about", method="GET", host=f"localhost:{PORT}", **headers):
    client = TestClient(app, "http://localhost", headers={"Host": host})
    return client.request(method, path, headers=headers)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8787", "127.0.0.1:9000", "[::1]:1", "LOCALHOST."]
)
def test_names_of_this_machine(host):
    assert ask(guarded(), host=host).text == "reached"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8787",
        "localhost.evil.example",
        "192.168.0.3",
        "",
        "[",
        "127.0.0.1.evil.example:80",
    ],
)
def test_other_names_are_refused(host):
    """DNS rebinding: a page of evil.example, a name that now means 127.0.0.1."""
    answer = ask(guarded(), host=host)
    assert answer.status_code == 421 and "not known by that name" in answer.json()["error"]


def test_two_hosts_are_refused():
    client = TestClient(guarded(), "http://localhost")
    headers = [("Host", "localhost"), ("Host", "evil.example")]
    assert client.get("/api/about", headers=headers).status_code == 421


def test_a_server_of_all_addresses_knows_addresses_but_no_other_names():
    app = guarded("0.0.0.0")
    assert ask(app, host="192.168.0.3:8787").text == "reached"
    assert ask(app, host=f"{guard.socket.gethostname()}:8787").text == "reached"
    assert ask(app, host="evil.example").status_code == 421
    one = guarded("192.168.0.3")
    assert ask(one, host="192.168.0.3:8787").text == "reached"
    assert ask(one, host="192.168.0.4").status_code == 421


@pytest.mark.parametrize(
    "origin",
    [None, "http://evil.example", "null", "https://localhost:8787", "http://localhost:8788"],
)
def test_other_pages_cannot_post(origin):
    headers = {} if origin is None else {"Origin": origin}
    answer = ask(guarded(), "/api/draw", "POST", **headers)
    assert answer.status_code == 403 and "another page" in answer.json()["error"]


def test_its_own_page_can_post():
    headers = {"Origin": "http://localhost:8787"}
    assert ask(guarded(), "/api/draw", "POST", **headers).text == "reached"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_need_an_origin_too(method):
    assert ask(guarded(), method=method).status_code == 403


def test_without_the_cookie_nothing_but_the_page():
    app = guarded(token=TOKEN)
    cookie = app.session(TOKEN)
    value = re.match(r"(jaxgen-8787=([^;]+)); Path=/; HttpOnly; SameSite=Strict$", cookie)
    for sent in (
        {},
        {"Cookie": "jaxgen-8787="},
        {"Cookie": f"jaxgen-8787={TOKEN}"},
        {"Cookie": f"other={value[2]}"},
    ):
        answer = ask(app, **sent)
        assert answer.status_code == 403 and "a token is needed" in answer.json()["error"]
    assert ask(app, Cookie=f"a=b; {value[1]}").text == "reached"
    for path in ("/", "/static/explore.js"):
        assert ask(app, path).text == "reached"
    assert ask(app, "/static/../api/about").status_code == 403
    assert TOKEN not in cookie and value[2] not in guarded(token=TOKEN).session(TOKEN)


@pytest.mark.parametrize("token", [None, "", 3, TOKEN[:-1], f"{TOKEN}x", "\ud800"])
def test_a_wrong_token_gives_no_cookie(token):
    assert guarded(token=TOKEN).session(token) is None


def test_where_there_is_no_token_none_gives_a_cookie():
    assert guarded().session("") is None and guarded().session(None) is None


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_headers(host):
    found = ask(guarded(), host=host).headers
    assert found["content-security-policy"].startswith("default-src 'self';")
    assert "frame-ancestors 'none'" in found["content-security-policy"]
    assert "unsafe" not in found["content-security-policy"]
    assert found["x-content-type-options"] == "nosniff" and found["x-frame-options"] == "DENY"
    assert found["referrer-policy"] == "no-referrer" and found["cache-control"] == "no-store"
    assert found["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in found


def test_tokens():
    for host in ("127.0.0.1", "localhost", "::1", "127.9.9.9"):
        assert guard.checked_token(host, None) is None
        assert guard.checked_token(host, TOKEN) == TOKEN
    made = {guard.checked_token(host, None) for host in ("0.0.0.0", "::", "192.168.0.3", "a.b")}
    assert len(made) == 4 and all(len(token) >= 32 for token in made)
    for short in ("", "short", "fifteen letters", "ü" * 20, "a" * 20 + "\n"):
        with pytest.raises(ConfigError, match="--token: expected 16 or more"):
            guard.checked_token("0.0.0.0", short)
