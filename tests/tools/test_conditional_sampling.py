"""`--class=` of samples and pictures of latents, for a tiny run of every conditional config."""

import functools

import jax
import numpy as np
import PIL.Image
import pytest
from tiny import CONFIGS, config_of

import jaxgen
from jaxgen.abilities import Mixes
from jaxgen.data.limits import load_npz
from jaxgen.pictures import to_uint8

CONDITIONAL = "--config.method.given=label"
FAR = (  # from weights of 0.02 and classes that differ in nothing, whose images are one grey
    CONDITIONAL,
    "--config.optim.generator.learning_rate=0.1",
    "--config.ema.generator.half_life_steps=0.5",
)
FLAGS = {"dcgan": FAR, "sngan": FAR}  # the others are conditional, or become so, and that is all


def takes_classes(name):
    """Whether a config is of a game whose players may be given something."""
    config = config_of(name)
    return "discriminator" in config["model"] and "given" in config["method"]


RUNS = [name for name in CONFIGS if takes_classes(name)]
pytestmark = pytest.mark.slow  # each is compiled; tests/test_upgrade.py samples a class by default


@pytest.fixture(scope="module", params=RUNS)
def run(request, starter, tmp_path_factory):
    method = config_of(request.param)["method"]
    truncation = None if method.get("prior") == "uniform" else 0.5
    job = starter.run(
        f"--config=configs/{request.param}.py:digits,tiny",
        *FLAGS.get(request.param, (CONDITIONAL,)),
        "--config.train.steps=2",
        "--config.train.log_every_steps=1",
        f"--workdir={tmp_path_factory.mktemp('conditional') / request.param}",
        limit=600,
    )
    return job.workdir, truncation


def test_samples_of_a_class(jaxgen_command, run, tmp_path):
    """One class is another's samples changed; classes may be a list; too many are refused."""
    workdir, truncation = run
    found = {}
    for name in ("3", "7", "[3,7,3]"):
        out = tmp_path / "x.npz"
        options = () if truncation is None else (f"--truncation={truncation}",)
        options = (f"--class={name}", *options, f"--out={out}")
        jaxgen_command("sample", workdir, "--num=3", "--force", *options)
        found[name] = load_npz(out)["x"].astype(int)
        assert found[name].shape == (3, 8, 8, 1)
    assert np.abs(found["3"] - found["7"]).sum() > 0
    np.testing.assert_array_equal(found["[3,7,3]"][::2], found["3"][::2])
    np.testing.assert_array_equal(found["[3,7,3]"][1], found["7"][1])
    own = ("--given.label=3", f"--out={out}", "--force", *options[1:-1])
    jaxgen_command("sample", workdir, "--num=3", *own)
    np.testing.assert_array_equal(load_npz(out)["x"], found["3"])
    err = jaxgen_command("sample", workdir, "--num=3", "--class=3", "--given.label=3", code=2).err
    assert "label is given twice" in err
    err = jaxgen_command("sample", workdir, "--num=3", "--given.lable=3", code=2).err
    assert "unknown field that is given 'lable': did you mean 'label'" in err
    err = jaxgen_command("sample", workdir, "--num=3", "--class=10", code=2).err
    assert "--class=10, expected 0 to 9, the classes of the data" in err
    if truncation is None:
        err = jaxgen_command("sample", workdir, "--num=3", "--truncation=0.5", code=2).err
        assert "truncation: the prior is uniform" in err


def test_a_sweep_of_each_dimension(jaxgen_command, run, tmp_path):
    """A row for each of the four dimensions of z."""
    out = tmp_path / "sweep.png"
    text = jaxgen_command("sweep", run[0], "--dims=4", "--steps=3", f"--out={out}").out
    assert ", class 0, dimensions " in text
    with PIL.Image.open(out) as image:
        assert image.size[0] == 2 + 34 * 3 and image.size[1] in (2 + 34 * 4, 2 + 34 * 32)


def test_pictures_of_a_class(jaxgen_command, run, tmp_path):
    """The ends of an interpolation are the class's own images of the latents."""
    found = {}
    for name in (3, 7):
        out = tmp_path / f"{name}.png"
        options = (f"--class={name}", "--steps=2", f"--out={out}")
        assert f", class {name}: " in jaxgen_command("interpolate", run[0], *options).out
        found[name] = np.asarray(PIL.Image.open(out))
    assert not np.array_equal(found[3], found[7])
    loaded = jaxgen.load(run[0])
    z = loaded.method.latents(jax.random.key(0), 16)
    images = to_uint8(loaded.decode(z, label=np.full(16, 7)), loaded.spec.levels)
    cells = found[7][2:, 2:, 0].reshape(8, 34, 2, 34)[:, :32:4, :, :32:4].swapaxes(1, 2)
    np.testing.assert_array_equal(cells.reshape(16, 8, 8), images[..., 0])
    err = jaxgen_command("walk", run[0], "--class=10", code=2).err
    assert "--class=10, expected 0 to 9, the classes of the data" in err
    if isinstance(loaded.method, Mixes):
        mix = functools.partial(loaded.method.mix, loaded.state, jax.random.key(0), 1, 2, 2)
        grids = [mix(given={"label": np.int32(c)}) for c in (3, 7)]
        assert np.abs(np.subtract(*grids)).sum() > 0
