"""A table, trained, resumed, sampled and evaluated, in its columns' own units."""

import json

import numpy as np
import pytest
from command import ROOT

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.data.limits import load_npz

pytestmark = pytest.mark.slow  # its parts are tested one by one

SCALES = np.array([1e6, 1e-6])


@pytest.fixture(scope="module")
def trained(starter, tmp_path_factory):
    """A tiny conditional flow of two columns of t.csv, given a third."""
    home = tmp_path_factory.mktemp("table")
    random = np.random.RandomState(0)
    given = random.randn(300)
    x = (given[:, None] + random.randn(300, 2)) * SCALES
    rows = zip(x[:, 0], x[:, 1], 100 + given, np.full(300, 7), strict=True)
    lines = [",".join(map(repr, map(float, row))) for row in rows]
    (home / "t.csv").write_text("a,b,given,constant\n" + "\n".join(lines) + "\n")
    flags = (
        f"--config={ROOT}/configs/maf.py:ring8,tiny",
        "--config.data.name=t.csv",
        "--config.data.columns=a,b",
        "--config.data.context=given",
        f"--workdir={home}/run",
    )
    return home, flags, starter.run(*flags, cwd=home)


def test_the_report_and_the_resumption(trained, starter):
    home, flags, job = trained
    assert "columns: a " in job.out and "given: given " in job.out
    assert "not used: columns constant" in job.out
    spec = json.loads((home / "run" / "manifest.json").read_text())["data"]["spec"]
    names = {name: field.get("names") for name, field in spec["fields"].items()}
    assert names == {"x": ["a", "b"], "context": ["given"]}
    scale = spec["fields"]["x"]["units"]["scale"]
    assert 0.5e6 < scale[0] < 3e6 and 0.5e-6 < scale[1] < 3e-6
    again = starter.run(*flags, "--config.train.steps=22", cwd=home)
    assert "resumed at step 20" in again.out
    wrong = starter.run(*flags, "--config.data.columns=b,a", cwd=home, code=2)
    assert "data.columns: 'a,b' in the run, 'b,a' now" in wrong.err


def test_samples_and_densities_are_in_the_own_units(trained, jaxgen_command):
    home, _, _ = trained
    run = jaxgen.load(home / "run", step=20)
    x = run.sample(400, seed=1, context=[100.0])
    assert x.dtype == np.float64 and x.shape == (400, 2)
    assert (x.std(0) / SCALES > 0.3).all() and (x.std(0) / SCALES < 6).all()
    np.testing.assert_array_equal(run.sample(4, seed=1, context={"given": 100.0}), x[:4])
    each = run.sample(4, seed=1, context=np.array([[100.0], [102.0], [100.0], [102.0]]))
    np.testing.assert_allclose(each[::2], x[:4:2], rtol=1e-6)
    np.testing.assert_array_equal(run.sample(4, seed=1, context=[[100.0], [102.0]]), each)
    np.save(home / "c.npy", [[100.0]])
    (home / "c.csv").write_text("given\n100\n")
    for name in ("c.npy", "c.csv"):
        jaxgen_command(
            "sample",
            home / "run",
            "--step=20",
            "--num=4",
            "--seed=1",
            f"--context={home / name}",
            f"--out={home}/s.npz",
        )
        np.testing.assert_allclose(load_npz(home / "s.npz")["x"], x[:4], rtol=1e-6)

    # a density: it sums to one over the plane, in a and b
    side = [np.linspace(-8, 8, 100) * s for s in SCALES]
    grid = np.stack(np.meshgrid(*side), -1).reshape(-1, 2)
    mass = np.exp(run.log_prob(grid, context=[100.5])).sum() * np.prod([s[1] - s[0] for s in side])
    assert mass == pytest.approx(1, abs=0.05)
    z = run.encode(x, context=[100.0])
    np.testing.assert_allclose(run.decode(z, context=[100.0]) / SCALES, x / SCALES, atol=1e-4)

    values = run.per_example("test", max_examples=8)
    test = run.dataset().splits["test"].own(values["index"])
    found = run.log_prob(test["x"], context=test["context"])
    np.testing.assert_allclose(found, -values["nll"], rtol=1e-4)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (None, "needs values of given: add --context=1.5,2 or --context=FILE"),
        ([1.0, 2.0], r"context: float64 \[2\], expected given, the 1 context columns of t"),
        ({"other": 1.0}, "context: other, expected given"),
        ([np.nan], "context: given is not finite"),
        ([[1.0], [2.0], [3.0]], "3 rows, 4 examples: expected a multiple"),
        ("absent.csv", "context='absent.csv': no such file, and no numbers"),
        ("word", "context='word': no such file"),
    ],
)
def test_what_is_no_context(trained, context, message):
    run = jaxgen.load(trained[0] / "run")
    with pytest.raises(ConfigError, match=message) as error:
        run.sample(4, **({} if context is None else {"context": context}))
    assert "\n" not in str(error.value)


def test_metrics_are_of_samples_given_what_examples_are_given(trained, jaxgen_command):
    home, _, _ = trained
    flags = ("--metrics=fd", "--num=100", "--sets=1", "--extractor=pixels")
    out = jaxgen_command("eval", home / "run", *flags)
    found = {m["name"]: m["value"] for m in json.loads(out.out)["measurements"]}
    assert np.isfinite(found["fd-pixels"]) and found["fd-pixels"] < 20
    given = jaxgen_command("eval", home / "run", *flags, "--context=103")
    far = {m["name"]: m["value"] for m in json.loads(given.out)["measurements"]}
    assert far["fd-pixels"] > found["fd-pixels"]
    assert "compared 100 points with 270 train examples of t" in out.err
