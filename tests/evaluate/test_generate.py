"""Generation in resumable batches: the same images on any number of devices, after any stop."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from jaxgen.config import ConfigError
from jaxgen.evaluate.sampling import Drawn, Sampler, check_finite, stored, to_levels
from jaxgen.types import DataSpec, State

SPEC = DataSpec.of("noise", (2, 2, 1), 256, 3)


@dataclasses.dataclass(frozen=True)
class Noise:
    """Uniform levels, times a parameter; with a label, all of that level."""

    given = ("label",)

    def sample(self, state, rng, num, scale=1.0, real=False, given=None):
        if given is not None:
            label = given["label"]
            return jnp.broadcast_to(label.reshape(-1, 1, 1, 1), (num, 2, 2, 1)).astype(jnp.uint8)
        x = state.params["model"]["w"] * scale * jax.random.uniform(rng, (num, 2, 2, 1)) * 255
        return x if real else jnp.round(x).astype(jnp.uint8)


def a_state(w=1.0):
    params = {"model": {"w": jnp.float32(w)}}
    return State(jnp.int32(7), params, {}, {}, {})


def mesh_of(count):
    devices = jax.devices()[:count]
    axes = (AxisType.Auto,) * 2
    return jax.make_mesh((count, 1), ("data", "fsdp"), axis_types=axes, devices=devices)


def a_sampler(count=8, **options):
    return Sampler(Noise(), mesh_of(count), SPEC, batch=4, **options)


def images(found):
    return np.concatenate(list(found))


def test_the_same_images_on_one_and_on_eight_devices():
    one, eight = (images(Drawn(a_sampler(n), a_state(), 45)) for n in (1, 8))
    assert one.shape == (45, 2, 2, 1) and one.dtype == np.uint8
    np.testing.assert_array_equal(one, eight)
    assert len(np.unique(one.reshape(45, -1), axis=0)) == 45  # no batch occurs twice


def test_batch_i_is_a_function_of_the_key_alone():
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(3), 2), 5)
    found = images(Drawn(a_sampler(seed=3, number=2), a_state(), 24))
    np.testing.assert_array_equal(found[20:], Noise().sample(a_state(), key, 4))


def test_an_interrupted_generation_goes_on(tmp_path, monkeypatch):
    """After parts were lost, torn or never made: the same images, and no batch made twice."""
    made, said = [], []
    batches = Sampler.batches

    def counted(self, state, numbers):
        for number, x in batches(self, state, numbers):
            made.append(number)
            if len(made) == 5:
                raise KeyboardInterrupt
            yield number, x

    monkeypatch.setattr(Sampler, "batches", counted)
    found = stored(a_sampler(1), a_state(), 30, tmp_path, {"step": 7}, said.append)
    with pytest.raises(KeyboardInterrupt):
        images(found)
    assert sorted(p.name for p in found.folder.glob("*.npy")) == [f"{i:06}.npy" for i in range(4)]
    (found.folder / "000001.npy").write_bytes((found.folder / "000001.npy").read_bytes()[:-3])
    (found.folder / "000002.npy").unlink()
    again = stored(a_sampler(8), a_state(), 30, tmp_path, {"step": 7}, said.append)
    assert again.folder == found.folder
    np.testing.assert_array_equal(images(again), images(Drawn(a_sampler(1), a_state(), 30)))
    assert made[5:11] == [1, 2, 4, 5, 6, 7]
    assert said == [f"generation resumed: 2 of 8 batches are in {found.folder}"]


def test_a_larger_set_begins_with_a_smaller_one(tmp_path):
    few = images(stored(a_sampler(), a_state(), 6, tmp_path, {}))
    many = images(stored(a_sampler(), a_state(), 21, tmp_path, {}))
    np.testing.assert_array_equal(many[:6], few)
    assert len(list(tmp_path.iterdir())) == 1


def test_whatever_images_depend_on_has_a_folder_of_its_own(tmp_path):
    def folder(about=None, **options):
        return stored(a_sampler(**options), a_state(), 4, tmp_path, about or {}).folder

    folders = [
        folder(),
        folder({"step": 8}),
        folder(seed=1),
        folder(number=1),
        folder(knobs={"scale": 0.5}),
        folder(balanced=True),
    ]
    assert len(set(folders)) == len(folders)


def test_balanced_classes():
    x = images(Drawn(a_sampler(balanced=True), a_state(), 10))
    np.testing.assert_array_equal(x[:, 0, 0, 0], np.arange(10) % 3)


def test_real_levels_are_rounded_and_nan_is_refused():
    np.testing.assert_array_equal(to_levels(np.array([-1.0, 0.6, 300.0]), 256), [0, 1, 255])
    sampler = a_sampler(knobs={"real": True})
    assert images(Drawn(sampler, a_state(), 8)).dtype == np.uint8
    with pytest.raises(ConfigError, match="4 of the 4 images of batch 0 hold NaN or infinity"):
        images(Drawn(sampler, a_state(np.nan), 8))
    with pytest.raises(ConfigError, match=r"the parameters of step 7 hold NaN .*\['w'\]"):
        check_finite(a_state(np.nan), 7)


def test_mistakes():
    with pytest.raises(ConfigError, match="no such knob 'scal'; did you mean 'scale'"):
        a_sampler(knobs={"scal": 1})
    with pytest.raises(ConfigError, match="--batch=0, expected 1 or more"):
        Sampler(Noise(), mesh_of(1), SPEC, batch=0)
    for label in (3, -1, "cat", [0, 1]):
        with pytest.raises(ConfigError, match="label=.*: expected classes 0 to 2|: 2 of them"):
            a_sampler(knobs={"label": label})
    with pytest.raises(ConfigError, match="scale='warm': "):
        images(Drawn(a_sampler(knobs={"scale": "warm"}), a_state(), 4))
