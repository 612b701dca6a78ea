"""Every route of the explorer on two tiny runs: what it draws, and what it refuses."""

import base64
import copy
import dataclasses
import io
import json
import shlex
import struct
import zlib

import jax
import numpy as np
import PIL.Image
import pytest

pytest.importorskip("starlette", reason="needs jaxgen[explore]")
pytest.importorskip("httpx2", reason="needs jaxgen[test]")

from explored import VECTOR, pixels, png  # noqa: E402

from jaxgen.explorer import encode, server  # noqa: E402
from jaxgen.explorer.controls import Asked  # noqa: E402
from jaxgen.explorer.subject import Subject  # noqa: E402
from jaxgen.methods.likelihood import Likelihood  # noqa: E402
from jaxgen.views.examples import examples  # noqa: E402


def states(temperature=1.0, seed=0, **more):
    return {"seed": seed, "values": {"temperature": temperature, **more}}


@pytest.fixture(scope="module")
def digit(runs, data_root):
    """[8, 8] of a test example."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXGEN_DATA_DIR", str(data_root))
        return examples(runs[1], 3)[1, ..., 0]


@pytest.fixture
def uploaded(client, digit):
    return client.post("/api/upload", content=png(digit)).json()["upload"]


def test_the_page(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    names = [part.partition('"')[0] for part in page.text.split("/static/")[1:]]
    assert sorted(names) == sorted(server.FILES)
    for name in names:
        found = client.get(f"/static/{name}")
        assert found.status_code == 200 and found.headers["content-type"].startswith("text/")
    assert client.get("/favicon.ico").status_code == 204
    for other in ("LICENSES.txt", "index.html", "..%2f__init__.py", "%2fetc%2fpasswd"):
        assert client.get(f"/static/{other}").status_code == 404


def test_about(client, runs):
    found = client.get("/api/about").json()
    vae, flow = found["runs"]
    assert [vae["name"], flow["name"]] == ["vae", "flow"] and vae["step"] == runs[0].step
    assert vae["controls"] == ["temperature", "move.tilt"] and flow["controls"] == ["temperature"]
    assert "foreign.npz is a direction of another model" in vae["notes"][0] and not flow["notes"]
    assert [c["name"] for c in found["controls"]] == ["temperature", "move.tilt"]


@pytest.mark.parametrize("k", [0, 1])
def test_the_command_writes_the_same_bytes(drawn, jaxgen_command, tmp_path, monkeypatch, k):
    picture = drawn(states(0.37, seed=7))[k]
    monkeypatch.chdir(tmp_path)
    assert picture["exact"]
    program, *words = shlex.split(picture["command"])
    assert program == "jaxgen"
    jaxgen_command(*words)
    (written,) = tmp_path.rglob("*.png")
    assert written.read_bytes() == base64.b64decode(picture["data"])


def test_another_state_has_another_command_and_another_picture(drawn):
    found = [drawn(states(*s)) for s in ((1.5, 0), (1.5, 1), (0.0, 0))]
    for k in (0, 1):
        assert len({p[k]["command"] for p in found}) == 3
        assert len({p[k]["data"] for p in found}) == 3  # both follow the one set of sliders


def test_while_it_is_dragged_a_jpeg(drawn):
    dragged, final = (drawn(states(0.5), final)[1] for final in (False, True))
    assert (dragged["type"], final["type"]) == ("image/jpeg", "image/png")
    assert "likelihood" not in dragged and "command" not in dragged
    assert np.abs(pixels(dragged) - pixels(final)).mean() < 8


@dataclasses.dataclass(frozen=True)
class Odd(Likelihood):
    """Draws other samples where it draws another number of them."""

    def sample(self, state, rng, num, given=None, temperature: float = 1.0):
        return super().sample(state, jax.random.fold_in(rng, num), num, given, temperature)


def test_previews_are_of_the_same_draws(runs):
    """Or there are none: `warm_up` looks."""
    subject = Subject(runs[1])
    asked = Asked.of(states(0.8, seed=5), subject.controls)
    subject.warm_up()
    assert subject.previews
    quick, final = (subject.draw(asked, final) for final in (False, True))
    np.testing.assert_allclose(quick.astype(int), final, atol=1)
    assert subject._alone(asked).shape == final.shape == (1, 8, 8, 1)
    other = copy.copy(runs[1])
    fields = dataclasses.fields(other.method)
    other.method = Odd(**{f.name: getattr(other.method, f.name) for f in fields})
    odd = Subject(other)
    odd.warm_up()
    assert not odd.previews
    np.testing.assert_array_equal(odd.draw(asked, False), odd.draw(asked, True))


def test_likelihood_is_that_of_the_picture(drawn, runs):
    found = drawn(states(0.5, seed=2))[1]
    x = np.rint(pixels(found) / (255 / 16)).astype(np.uint8)[None, ..., None]
    about = found["likelihood"]
    np.testing.assert_allclose(about["nats"], runs[1].log_prob(x)[0], rtol=1e-5)
    np.testing.assert_allclose(about["bits_per_dim"], -about["nats"] / (np.log(2) * 64), rtol=1e-6)
    assert about["kind"] == "udq" and about["exact"] is False


def test_an_uploaded_picture(drawn, uploaded, digit, runs):
    vae, flow = drawn({"upload": uploaded})
    np.testing.assert_array_equal(pixels(flow), np.rint(digit * (255 / 16)))  # exact
    assert flow["error"] == {"mean": 0.0, "most": 0.0} and not flow["exact"]
    x = np.rint(np.rint(digit * (255 / 16)) / 255).astype(
        np.uint8
    )  # of two levels, as this VAE has them
    expected = runs[0].decode(runs[0].encode(x[None, ..., None]), rounded=True)[0, ..., 0]
    np.testing.assert_array_equal(pixels(vae), 255 * expected)
    apart = 255 * np.abs(expected.astype(int) - x)
    assert vae["error"] == {"mean": apart.mean(), "most": apart.max()} and apart.any()
    assert vae["command"].split()[1] == "reconstruct"


def test_an_attribute_moves_the_codes(drawn, runs):
    still, moved = (drawn(states(seed=3, **{"move.tilt": t})) for t in (0, 2.5))
    assert still[1]["data"] == moved[1]["data"]  # which has no such direction
    x = runs[0].sample(1, 3)
    (z,) = runs[0].encode(x)
    expected = runs[0].decode((z + 2.5 * VECTOR.astype(np.float32),), rounded=True)
    np.testing.assert_allclose(pixels(moved[0]), np.rint(expected[0, ..., 0] * 255), atol=1)
    assert (pixels(moved[0]) != pixels(still[0])).any() and not moved[0]["exact"]
    first, second = moved[0]["command"].split(" && ")
    assert first.startswith("jaxgen sample ") and second.startswith("jaxgen edit ")
    words = shlex.split(second)
    assert {"--attribute=tilt", "--strength=2.5..2.5", "--steps=1"} < set(words)


def test_the_commands_of_changes_run(drawn, uploaded, digit, jaxgen_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PICTURE.png").write_bytes(png(digit))
    for state in (states(seed=3, **{"move.tilt": 2.5}), {"upload": uploaded}):
        for command in drawn(state)[0]["command"].split(" && "):
            jaxgen_command(*shlex.split(command)[1:])
    assert len(list(tmp_path.glob("explored-*.png"))) == 2


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_a_morph_goes_from_one_to_the_other_and_back(client, drawn, uploaded, kind):
    first, second = {"upload": uploaded}, states(0.5, seed=4)
    body = {"run": 1, "first": first, "second": second, "format": kind}
    answer = client.post("/api/morph", json=body)
    assert answer.headers["content-type"] == f"image/{kind}"
    with PIL.Image.open(io.BytesIO(answer.content)) as film:
        assert film.n_frames == 46 and film.size == (256, 256)
        frames = []
        for k in range(film.n_frames):
            film.seek(k)
            frames.append(np.asarray(film.convert("L")).astype(int)[::32, ::32])
    np.testing.assert_array_equal(frames[0], pixels(drawn(first)[1]))
    np.testing.assert_array_equal(frames[23], pixels(drawn(second)[1]))
    np.testing.assert_array_equal(frames[22], frames[24])


def test_nothing_is_compiled_after_the_warm_up(drawn, uploaded, client):
    seen = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: seen.append(name) if "backend_compile" in name else None
    )
    drawn(states(0.1234, seed=99), final=False)
    drawn(states(0.4321, seed=98, **{"move.tilt": 0.75}))
    drawn({"upload": uploaded, "values": {"move.tilt": -1.0}})
    assert seen == []
    jax.jit(lambda x: x * 3.21)(np.ones(7))
    assert seen  # so the listener hears


BAD = [
    ("no JSON", "no JSON that can be read"),
    ('{"lane": "a", "lane": "b"}', "twice"),
    ('{"lane": NaN}', "no JSON"),
    ("[" * 5000, "no JSON"),
    ("[]", "expected an object with"),
    ('{"path": "/etc/passwd"}', "expected an object with"),
    ({"lane": "../x"}, "lane: expected"),
    ({"lane": "a" * 33}, "lane: expected"),
    ({"number": -1}, "expected number"),
    ({"number": 2**53}, "expected number"),
    ({"number": True}, "expected number"),
    ({"final": 1}, "expected number"),
    ({"state": None}, "expected a state"),
    ({"state": {"path": "x"}}, "expected a state"),
    ({"state": {"seed": -1}}, "seed=-1: expected an integer"),
    ({"state": {"seed": 2**32}}, "expected an integer"),
    ({"state": {"seed": 1.5}}, "seed=1.5: expected an integer"),
    ({"state": {"upload": "../../etc/passwd"}}, "expected the digest"),
    ({"state": {"upload": 3}}, "expected the digest"),
    ({"state": {"values": []}}, "expected names and numbers"),
    ({"state": {"values": {"temprature": 1}}}, "did you mean"),
    ({"state": {"values": {"temperature": 1.6}}}, "expected a number from 0 to 1.5"),
    ({"state": {"values": {"temperature": -0.1}}}, "expected a number from 0 to 1.5"),
    ({"state": {"values": {"temperature": None}}}, "expected a number"),
    ({"state": {"values": {"temperature": True}}}, "expected a number"),
    ({"state": {"values": {"temperature": "1"}}}, "expected a number"),
]


@pytest.mark.parametrize(("body", "message"), BAD, ids=lambda v: str(v)[:40])
def test_bad_requests(client, body, message):
    if not isinstance(body, str):
        good = {"lane": "bad", "number": 0, "final": True, "state": states()}
        body = json.dumps(good | body)
    answer = client.post("/api/draw", content=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert message in error and "\n" not in error and len(error) < 300


def test_an_unknown_upload_says_what_to_do(drawn):
    for picture in drawn({"upload": "0" * 64}):
        assert picture["problem"] == "the picture is no longer here: upload it again"


def claiming(width, height):
    """A PNG file of a few bytes whose header claims many pixels."""

    def chunk(kind, data):
        sum_ = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + sum_

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no picture was sent"),
        (b"no picture", "the uploaded file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "the uploaded file"),
        (claiming(12000, 12000), "claim 12,000 x 12,000 pixels"),
        (png(np.ones((8, 8)))[:45], "the uploaded file"),
    ],
)
def test_what_is_no_picture(client, content, message):
    answer = client.post("/api/upload", content=content)
    assert answer.status_code == 400 and message in answer.json()["error"], answer.text


def test_other_sizes_and_kinds_are_brought_to_the_run(client, drawn):
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.full((40, 90, 3), 200, np.uint8)).save(buffer, "jpeg")
    idents = set()
    for fit in ("", "?fit=pad", "?fit=stretch"):
        answer = client.post(f"/api/upload{fit}", content=buffer.getvalue())
        idents.add(answer.json()["upload"])
        assert pixels(drawn({"upload": answer.json()["upload"]})[1]).shape == (8, 8)
    assert len(idents) == 3
    answer = client.post("/api/upload?fit=../x", content=buffer.getvalue())
    assert answer.status_code == 400 and "fit" in answer.json()["error"]


def test_too_large(client, monkeypatch):
    monkeypatch.setattr(server, "MOST_UPLOAD", 1000)
    answer = client.post("/api/upload", content=b"x" * 1001)
    assert answer.status_code == 413 and "MiB" in answer.json()["error"]
    assert client.post("/api/upload", content=b"x" * 1000).status_code == 400  # is read

    def parts():  # no length is said
        for _ in range(100):
            yield b"x" * 100

    assert client.post("/api/upload", content=parts()).status_code == 413
    large = json.dumps({"lane": "a" * server.MOST_JSON})
    assert client.post("/api/draw", content=large).status_code == 413


def test_jobs_and_morphs_that_cannot_be(client):
    assert client.get("/api/jobs/7777").status_code == 404
    for change in ({"run": 2}, {"run": True}, {"format": "exe"}, {"first": 3}):
        body = {"run": 0, "first": states(), "second": states(), "format": "gif"} | change
        assert client.post("/api/morph", json=body).status_code == 400
    for path in ("/api/draw", "/api/upload", "/api/search", "/api/morph", "/api/session"):
        assert client.get(path).status_code == 405


def test_a_search_of_nothing_is_over(client):
    """Neither run searches: the page would not ask."""
    job = client.post("/api/search", json={"state": states()}).json()["job"]
    while not (found := client.get(f"/api/jobs/{job}").json())["over"]:
        pass
    assert found == {"over": True, "done": 0, "total": 0}


def test_what_nobody_foresaw_is_not_told_to_the_page(client, monkeypatch):
    def fails(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr(encode, "film", fails)
    body = {"run": 0, "first": states(), "second": states(), "format": "gif"}
    answer = client.post("/api/morph", json=body)
    assert answer.status_code == 500 and "secret" not in answer.text
    assert "the terminal" in answer.json()["error"]


def test_the_token_becomes_a_cookie(explorer):
    from starlette.testclient import TestClient

    token = "a token of some length"
    address = "http://localhost:8787"
    app = explorer.app("127.0.0.1", token, 8787)
    client = TestClient(app, address, headers={"Origin": address})
    assert client.get("/api/about").status_code == 403
    assert client.post("/api/draw", json={}).status_code == 403
    assert client.post("/api/session", json={"token": "another"}).status_code == 403
    assert client.get("/api/about").status_code == 403
    assert client.post("/api/session", json={"token": token}).status_code == 204
    assert client.get("/api/about").status_code == 200
