"""Runs with classes, groups of latents, and codes that are found by a search; on tiny runs."""

import shlex

import jax
import numpy as np
import pytest
from explored import png

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.explorer.controls import Asked
from jaxgen.explorer.encode import png as content
from jaxgen.explorer.subject import Subject

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def subject_of(starter, tmp_path_factory):
    """subject_of(config): the run of a tiny training, warmed up, and the run."""
    folder, made = tmp_path_factory.mktemp("families"), {}

    def of(config):
        if config not in made:
            place = folder / config.partition(":")[0]
            starter.run(f"--config=configs/{config}", f"--workdir={place}", limit=600)
            run = jaxgen.load(place)
            subject = Subject(run)
            subject.warm_up()
            made[config] = subject, run
        return made[config]

    return of


def asked(subject, seed=0, upload=None, **values):
    body = {"seed": seed, "upload": upload, "values": values}
    return Asked.of(body, subject.controls)


def typed(subject, state, jaxgen_command, tmp_path, monkeypatch):
    """The bytes that the command of a state writes."""
    monkeypatch.chdir(tmp_path)
    found = subject.command(state)
    assert found["exact"]
    jaxgen_command(*shlex.split(found["command"])[1:])
    (written,) = tmp_path.rglob("*.png")
    return written.read_bytes()


@pytest.mark.parametrize("config", ["biggan.py:digits,tiny", "stylegan2.py:digits,tiny"])
def test_the_command_of_every_control(subject_of, jaxgen_command, tmp_path, monkeypatch, config):
    subject, _ = subject_of(config)
    values = {c.name: c.least + 0.5 if c.step < 1 else 3 for c in subject.controls}
    state = asked(subject, 11, **values)
    shown = content(subject.shown(subject.draw(state)))
    assert typed(subject, state, jaxgen_command, tmp_path, monkeypatch) == shown


def test_classes(subject_of):
    subject, run = subject_of("biggan.py:digits,tiny")
    (control,) = (c for c in subject.controls if c.name == "class")
    assert [value for value, _ in control.choices] == list(range(10))
    for label in (0, 7):
        x = subject.draw(asked(subject, 5, **{"class": label}))
        np.testing.assert_array_equal(x, run.sample(1, 5, label=label))
    with pytest.raises(ConfigError, match="class=10: expected a number from 0 to 9"):
        asked(subject, **{"class": 10})
    with pytest.raises(ConfigError, match="class=1.5: expected a whole number"):
        asked(subject, **{"class": 1.5})
    assert subject.coder.why and "seeds alone" in subject.coder.why
    with pytest.raises(ConfigError, match="seeds alone"):
        subject.upload("0" * 64, png(np.zeros((8, 8))), None)
    with pytest.raises(ConfigError, match="no codes between which"):
        list(subject.morph(asked(subject), asked(subject)))


def test_groups_of_latents(subject_of):
    subject, run = subject_of("nvae.py:digits,tiny")
    (control,) = (c for c in subject.controls if c.name == "groups")
    digit = np.arange(64).reshape(8, 8) % 17
    subject.upload("0" * 64, png(digit), None)
    x = subject._uploaded("0" * 64)
    for groups, _ in control.choices[1:]:
        found = subject.draw(asked(subject, 0, "0" * 64, groups=groups))
        expected = run.reconstruct(x, groups=groups)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    state = asked(subject, 0, "0" * 64, groups=1)
    assert "--groups=1" in subject.command(state)["command"]


def test_a_search(subject_of):
    subject, run = subject_of("stylegan2.py:digits,tiny")
    assert subject.as_json()["upload"] == "search"
    picture = run.sample(1, seed=3)[0, ..., 0]
    ident = "1" * 64
    subject.upload(ident, png(picture), None)
    state, steps = asked(subject, 0, ident), []
    assert subject.needs_search(state) and not subject.needs_search(asked(subject))
    with pytest.raises(ConfigError, match="have not been found yet"):
        subject.draw(state)
    subject.search(ident, steps.append)
    assert sorted(steps) == list(range(400)) and not subject.needs_search(state)
    x = subject._uploaded(ident)
    w = jax.jit(lambda s, x: run.method.project(s, x, jax.random.key(0), steps=400)[0])(
        run.state.averaged(), x
    )
    expected = run.method.render(run.state.averaged(), w, rounded=True)
    apart = np.abs(np.asarray(expected, float) - subject.draw(state))
    assert apart.mean() < 0.5
    assert "project" in subject.command(state)["command"].split()
    frames = list(subject.morph(state, state))
    np.testing.assert_array_equal(frames[0], frames[-1])


def test_codes_of_seeds_of_a_run_that_searches(subject_of):
    """Rendered, they are the sample; so a slider of an attribute begins at the picture."""
    subject, _ = subject_of("stylegan2.py:digits,tiny")
    for psi in (1.0, 0.6):
        state = asked(subject, 9, truncation=psi)
        x = subject.draw(state)
        again = subject.coder.decode(subject._codes_of(state, x), {})
        assert np.abs(np.asarray(again, float) - x).max() <= 1
    ends = asked(subject, 1), asked(subject, 2)
    frames = list(subject.morph(*ends))
    for end, frame in zip(ends, (frames[0], frames[-1]), strict=True):
        assert np.abs(frame.astype(int) - subject.shown(subject.draw(end))).max() <= 16
