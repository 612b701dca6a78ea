"""Pictures of latents, on a tiny run."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import PIL.Image
import pytest

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.data.embedded import factors
from jaxgen.data.loader import evenly
from jaxgen.evaluate.metrics import disentanglement
from jaxgen.views import latents
from jaxgen.views.examples import examples

CELL = 34  # an image of a grid with its gap


@pytest.fixture(scope="module")
def run(zoo, tmp_path_factory):
    """A finished tiny run of a VAE with 2 latents, on digits."""
    return zoo.copy("vae", tmp_path_factory.mktemp("run") / "vae-digits").workdir


@pytest.fixture(scope="module")
def loaded(run, data_root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXGEN_DATA_DIR", str(data_root))
        yield jaxgen.load(run)


def cells(image, columns):
    """[rows, columns, 32, 32] of a grid of grey images."""
    rows = (image.shape[0] - 2) // CELL
    inner = image[2:, 2:, 0].reshape(rows, CELL, columns, CELL)
    return inner[:, :32, :, :32].swapaxes(1, 2).astype(int)


def test_sweep_moves_one_latent_a_row(loaded):
    picture = loaded.sweep(dims=2, steps=5)
    image, dims = picture.image, list(picture.arrays["dims"])
    codes = loaded.encode(examples(loaded, 297))[0]
    assert dims == list(np.argsort(-codes.std(0)))
    found = cells(image, 5)
    assert found.shape == (2, 5, 32, 32)
    np.testing.assert_array_equal(found[0, 2], found[1, 2])  # both rows cross at the mean
    far = np.concatenate([codes.mean(0)[None]] * 2)
    far[1, dims[0]] += 3 * codes.std(0)[dims[0]]
    expected = np.rint(loaded.decode((far,)) * 255).astype(int)
    np.testing.assert_array_equal(found[0, 4, ::4, ::4], expected[1, ..., 0])


def test_reconstructions_stand_below_their_images(loaded):
    image = loaded.reconstructions(num=16).image
    found = cells(image, 8)
    x = examples(loaded, 16)[..., 0]
    assert found.shape[0] == 4
    np.testing.assert_array_equal(found[0, 3, ::4, ::4], 255 * x[3])
    np.testing.assert_array_equal(found[2, 3, ::4, ::4], 255 * x[11])
    assert not np.array_equal(found[1, 3], found[0, 3])


def test_a_method_without_reconstruct_decodes_its_codes(loaded, monkeypatch):
    """As flows do: what comes back is the code's own image."""
    found = loaded.decode(loaded.encode(examples(loaded, 8)))

    class Silent(type(loaded.method)):
        reconstruct = None

    monkeypatch.setattr(loaded, "method", Silent(**vars(loaded.method)))
    shown = cells(loaded.reconstructions(num=8).image, 8)
    np.testing.assert_array_equal(shown[1, :, ::4, ::4], np.rint(255 * found[..., 0]))
    with pytest.raises(ConfigError, match="Silent has no groups of latents: omit --groups"):
        loaded.reconstructions(num=8, groups=1)


@pytest.mark.parametrize("path", latents.PATHS)
def test_interpolation_begins_and_ends_at_the_codes(loaded, path):
    found = cells(loaded.interpolate(pairs=3, steps=4, path=path).image, 4)
    codes = loaded.encode(examples(loaded, 6))[0]
    ends = np.rint(loaded.decode((codes,)) * 255).astype(int)[..., 0]
    np.testing.assert_array_equal(found[:, 0, ::4, ::4], ends[::2])
    np.testing.assert_allclose(found[:, 3, ::4, ::4], ends[1::2], atol=1)


def test_examples_are_encoded_as_their_own_class(starter, data_root, tmp_path, monkeypatch):
    """And decoded as the class asked for; reconstructions keep their own."""
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    job = starter.run(
        "--config=configs/vae.py:digits,tiny",
        "--config.method.given=label",
        f"--workdir={tmp_path / 'run'}",
    )
    run = jaxgen.load(job.workdir)
    test = run.dataset().splits["test"]
    batch = test.take(np.arange(4) * 297 // 4)  # evenly spaced
    codes = run.encode(batch["x"], label=batch["label"])
    seen = np.rint(run.decode(codes, label=np.full(4, 3)) * 255).astype(int)[..., 0]
    found = cells(run.interpolate(pairs=2, steps=2, label=3).image, 2)
    np.testing.assert_array_equal(found[..., ::4, ::4].reshape(4, 8, 8), seen)
    back = np.rint(run.reconstruct(batch["x"], label=batch["label"]) * 255).astype(int)[..., 0]
    found = cells(run.reconstructions(num=4).image, 4)
    np.testing.assert_array_equal(found[1, :, ::4, ::4], back)


def test_commands(jaxgen_command, run, tmp_path):
    for verb, name in (
        ("reconstruct", "reconstructions_num32_seed0_step00000020.png"),
        ("interpolate", "interpolation_linear_steps10_seed0_step00000020.png"),
        ("sweep", "sweep_seed0_dims10_steps9_span3.0_step00000020.png"),
    ):
        out = jaxgen_command(verb, run).out
        assert out.endswith(f": {run / 'samples' / name}\n")
        with PIL.Image.open(run / "samples" / name) as image:
            assert image.mode == "RGB"
    err = jaxgen_command("reconstruct", run, "--num=8", "--groups=2", code=2).err
    assert "groups=2, expected 1 to 1" in err
    manifold = tmp_path / "m.png"
    jaxgen_command("sweep", run, "--manifold", f"--out={manifold}")
    with PIL.Image.open(manifold) as image:
        assert image.size == (20 * CELL + 2, 20 * CELL + 2)
    gif = tmp_path / "w.gif"
    jaxgen_command("walk", run, "--num=4", "--frames=5", f"--out={gif}")
    with PIL.Image.open(gif) as image:
        assert image.n_frames == 5 and image.info["loop"] == 0


def test_own_pictures(jaxgen_command, run, loaded, tmp_path):
    """Brought to the size, channels and levels of the data; the grid shows them."""
    x = examples(loaded, 3)
    for i, image in enumerate(x[..., 0]):
        PIL.Image.fromarray(image * np.uint8(255)).save(tmp_path / f"{i}.png")
    big = np.kron(x[1, ..., 0], np.ones((4, 4), np.uint8)) * np.uint8(255)
    PIL.Image.fromarray(big).convert("RGB").save(tmp_path / "big.png")
    np.savez(tmp_path / "x.npz", x=x[:2])
    files = [tmp_path / "0.png", tmp_path / "big.png", tmp_path / "x.npz"]
    out = jaxgen_command("reconstruct", run, files[0], "--seed=1", *files[1:], "--fit=stretch").out
    path = pathlib.Path(out.rpartition(": ")[2].strip())
    assert path.name.startswith("reconstructions_of0-big-x-")
    shown = cells(np.asarray(PIL.Image.open(path)), 4)
    own = x[[0, 1, 0, 1], ..., 0].astype(int) * 255
    assert np.abs(shown[0, :, ::4, ::4] - own).mean() < 255 * 0.05  # `big` was scaled
    np.testing.assert_array_equal(shown[0, [0, 2, 3], ::4, ::4], own[[0, 2, 3]])
    back = np.rint(loaded.reconstruct(x[[0, 1, 0, 1]], 1) * 255).astype(int)[..., 0]
    np.testing.assert_array_equal(shown[1, [0, 2, 3], ::4, ::4], back[[0, 2, 3]])
    out = jaxgen_command("interpolate", run, tmp_path / "0.png", tmp_path / "1.png").out
    assert "interpolation_linear_of0-1-" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("reconstruct", "no.png"), "no such run, folder or file: "),
        (("reconstruct", "README.md"), "README.md is no run, folder of images, .zip"),
        (("reconstruct", "--fit=crop"), "--fit=crop is of pictures: name some after the run"),
        (("reconstruct", "--class=3"), "--class is of your own pictures"),
        (("interpolate", "x.npz"), "3 pictures, expected pairs"),
        (("reconstruct", "wide.npz"), "expected"),
        (("project", "x.npz"), "has no styles"),
    ],
)
def test_pictures_that_do_not_fit(jaxgen_command, run, tmp_path, argv, message):
    np.savez(tmp_path / "x.npz", x=np.zeros((3, 8, 8, 1), np.uint8))
    np.savez(tmp_path / "wide.npz", x=np.zeros((3, 8, 9, 1), np.uint8))
    argv = [tmp_path / a if a.endswith(".npz") else a for a in argv]
    assert message in jaxgen_command(argv[0], run, *argv[1:], code=2).err


def test_mistakes(jaxgen_command, run, loaded, monkeypatch):
    assert (
        "expected a name that ends in .png or .webp or .gif or .mp4 or .npz"
        in jaxgen_command("walk", run, "--out=w.jpg", code=2).err
    )
    assert (
        "unknown --path 'cubic'" in jaxgen_command("interpolate", run, "--path=cubic", code=2).err
    )
    for verb in ("sweep", "interpolate", "walk"):
        err = jaxgen_command(verb, run, "--class=3", code=2).err
        assert f"--class=3: {run} is not conditional: omit it" in err
    err = jaxgen_command("eval", run, "--metrics=mig", code=2).err
    assert "factors of digits are not known" in err
    silent = type("Silent", (type(loaded.method),), {"log_prob": None})
    fields = {f.name: getattr(loaded.method, f.name) for f in dataclasses.fields(loaded.method)}
    monkeypatch.setattr(loaded, "method", silent(**fields))
    with pytest.raises(ConfigError, match="Silent has no log_prob"):
        loaded.log_prob(np.zeros((1, 8, 8, 1), np.uint8))


@pytest.mark.slow
def test_factors_are_scored(jaxgen_command, starter, tmp_path, monkeypatch):
    monkeypatch.setattr(disentanglement, "IMAGES", 300)
    job = starter.run("--config=configs/beta_vae.py:tiny", f"--workdir={tmp_path / 'run'}")
    out = json.loads(jaxgen_command("eval", job.workdir, "--metrics=mig", "--num=50").out)
    found = {m["name"]: m for m in out["measurements"]}
    run = jaxgen.load(job.workdir)
    test = run.dataset().splits["test"]
    index = evenly(len(test), 300)
    (z,) = jax.tree.leaves(run.encode(test.take(index)["x"]))
    truth = factors.truth(run.spec.name, "test").values[index]
    expected = disentanglement.mig(np.asarray(z), truth)
    np.testing.assert_allclose(found["mig"]["value"], expected, rtol=1e-5)
    assert found["mig"]["group"] == "latents" and found["active_units"]["better"] == "none"
