"""One sampler: the same images on any number of devices, in any batches, after any stop."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from jaxgen.config import ConfigError
from jaxgen.evaluate import sampling
from jaxgen.evaluate.sampling import Sampler, Samples, check_finite, kept, to_levels
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


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(sampling, "CHUNK", 4)


def drawn(num, count=8, state=None, **options):
    return Sampler(Noise(), SPEC, mesh_of(count)).samples(state or a_state(), num, **options)


def images(found):
    return np.concatenate(list(found))


def test_the_same_images_on_one_and_on_eight_devices():
    one, eight = (images(drawn(45, count)) for count in (1, 8))
    assert one.shape == (45, 2, 2, 1) and one.dtype == np.uint8
    np.testing.assert_array_equal(one, eight)
    assert len(np.unique(one.reshape(45, -1), axis=0)) == 45  # no chunk occurs twice


@pytest.mark.parametrize("batch", [1, 11, 100])
def test_the_same_images_whatever_a_device_draws_at_once(batch):
    label = np.arange(45, dtype=np.int32) % 3
    for options in ({"seed": 2}, {"given": {"label": label}}):
        one, many = drawn(45, **options), drawn(45, batch=batch, **options)
        assert many.at_once == 8 * max(1, batch // 4)
        np.testing.assert_array_equal(images(one), images(many))


def test_chunk_i_is_a_function_of_the_key_alone():
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(3), 2), 5)
    found = images(drawn(24, seed=3, of_set=2))
    np.testing.assert_array_equal(found[20:], Noise().sample(a_state(), key, 4))


def test_an_interrupted_generation_goes_on(tmp_path, monkeypatch):
    """After parts were lost, torn or never made: the same images, and no chunk made twice."""
    made, said = [], []
    original = Samples.drawn

    def counted(self, numbers):
        for number, x in original(self, numbers):
            made.append(number)
            if len(made) == 5:
                raise KeyboardInterrupt
            yield number, x

    monkeypatch.setattr(Samples, "drawn", counted)
    found = kept(drawn(30, 1), tmp_path, {"step": 7}, said.append)
    with pytest.raises(KeyboardInterrupt):
        images(found)
    assert sorted(p.name for p in found.folder.glob("*.npy")) == [f"{i:06}.npy" for i in range(4)]
    (found.folder / "000001.npy").write_bytes((found.folder / "000001.npy").read_bytes()[:-3])
    (found.folder / "000002.npy").unlink()
    again = kept(drawn(30), tmp_path, {"step": 7}, said.append)
    assert again.folder == found.folder
    np.testing.assert_array_equal(images(again), images(drawn(30, 1)))
    assert made[5:11] == [1, 2, 4, 5, 6, 7]
    assert said == [f"generation resumed: 2 of 8 chunks are in {found.folder}"]


def test_a_larger_set_begins_with_a_smaller_one(tmp_path):
    few = kept(drawn(6, knobs={"label": 1}), tmp_path, {})
    many = images(kept(drawn(21, knobs={"label": 1}), tmp_path, {}))
    np.testing.assert_array_equal(many[:6], images(few))
    np.testing.assert_array_equal(few.head(2), many[:2])
    assert len(list(tmp_path.iterdir())) == 1


def test_whatever_images_depend_on_has_a_folder_of_its_own(tmp_path):
    def folder(about=None, **options):
        return kept(drawn(4, **options), tmp_path, about or {}).folder

    folders = [
        folder(),
        folder({"step": 8}),
        folder(seed=1),
        folder(of_set=1),
        folder(knobs={"scale": 0.5}),
        folder(given={"label": np.arange(4, dtype=np.int32) % 3}),
        folder(knobs={"label": np.array([0, 1, 2, 2])}),
        folder(knobs={"label": np.array([0, 1, 2, 1])}),
    ]
    assert len(set(folders)) == len(folders)


def test_every_image_has_its_own_row():
    label = np.arange(10, dtype=np.int32) % 3
    np.testing.assert_array_equal(images(drawn(10, given={"label": label}))[:, 0, 0, 0], label)
    own = images(drawn(10, knobs={"label": 2}, given={"label": label}))
    assert (own == 2).all()  # what a user asks for


def test_real_levels_are_rounded_and_nan_is_refused():
    np.testing.assert_array_equal(to_levels(np.array([-1.0, 0.6, 300.0]), 256), [0, 1, 255])
    assert images(drawn(8, knobs={"real": True})).dtype == np.uint8
    with pytest.raises(ConfigError, match="4 of the 4 images of chunk 0 hold NaN or infinity"):
        images(drawn(8, state=a_state(np.nan), knobs={"real": True}))
    with pytest.raises(ConfigError, match=r"the parameters of step 7 hold NaN .*\['w'\]"):
        check_finite(a_state(np.nan), 7)


def test_mistakes():
    with pytest.raises(ConfigError, match="no such knob 'scal'; did you mean 'scale'"):
        drawn(4, knobs={"scal": 1})
    for wrong in ({"batch": 0}, {"seed": -1}):
        with pytest.raises(ConfigError, match="(batch=0|seed=-1): expected an integer"):
            drawn(4, **wrong)
    for label in (3, -1, "cat", [0, 1]):
        with pytest.raises(ConfigError, match="label=.*: expected classes 0 to 2|: 2 of them"):
            drawn(4, knobs={"label": label})
    with pytest.raises(ConfigError, match="scale='warm': "):
        drawn(4, knobs={"scale": "warm"})
