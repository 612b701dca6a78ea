"""Calls of a method: one compilation, constant chunks, and nothing that is not checked."""

import contextlib
import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.abilities import DensityOf
from jaxgen.calls import Calls
from jaxgen.config import ConfigError
from jaxgen.contract import check
from jaxgen.evaluate.metrics import calibration
from jaxgen.evaluate.sampling import CHUNK, Sampler, chunk_key, chunk_size
from jaxgen.sharding import make_mesh
from jaxgen.types import DataSpec, State

POINTS = DataSpec.of("points", (3,), None)
LEVELS = DataSpec.of("scans", (2, 2, 1), 17, 4)


@dataclasses.dataclass(frozen=True)
class Scaled:
    """x = w z + noise, of a class that moves it; what is drawn depends on the key alone."""

    spec: DataSpec
    given: tuple = ()
    density = DensityOf("exact", "density", 3)
    likelihoods = {}

    def sample(
        self,
        state,
        rng,
        num,
        temperature: float = 1.0,
        truncation: float | None = None,
        mode: str = "plain",
        mean: bool = False,
        passes: int = 0,
        given=None,
    ):
        if mode not in ("plain", "odd"):
            raise ValueError(f"mode {mode} is none")
        z = jax.random.normal(rng, (num, *self.spec.shape))
        bound = 10.0 if truncation is None else truncation
        x = state.params["model"]["w"] * jnp.clip(temperature * z, -bound, bound) + passes
        label = (given or {}).get("label")
        if label is not None:
            x = x + label.reshape(-1, *(1,) * len(self.spec.shape))
        return x if self.spec.levels is None else jnp.clip(jnp.round(x), 0, 16).astype(jnp.uint8)

    def encode(self, state, x, rng, given=None):
        moved = 0.0 if given is None else given["label"].reshape(-1, 1)
        return {"z": (x - moved) / 2, "n": x[:, :1]}

    def decode(self, state, z, given=None, rounded: bool = True):
        return 2 * z["z"]

    def log_prob(self, state, x, rng, given=None):
        noise = jax.random.uniform(rng, x.shape)
        return jnp.sum(-jnp.square(x + noise), axis=tuple(range(1, x.ndim)))

    def posterior(self, state, rng, x, num):
        draws = jax.random.normal(rng, (len(x) * num, 2)).reshape(len(x), num, 2)
        return x[:, :2], x[:, 0], draws, draws[..., 0]


def a_state(w=1.0):
    return State(jnp.int32(0), {"model": {"w": jnp.float32(w)}}, {}, {}, {})


@pytest.fixture
def of():
    """of(**fields): calls of a method on points."""
    return lambda spec=POINTS, **fields: Calls(Scaled(spec, **fields), spec, pathlib.Path("run"))


@contextlib.contextmanager
def compiled():
    """The programs that are compiled meanwhile."""
    found = []

    def listen(name, seconds, **_):
        if "backend_compile" in name:
            found.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_the_method_is_as_the_abilities_ask():
    check(Scaled(POINTS)), check(Scaled(LEVELS, given=("label",)))


def test_any_number_of_draws_compiles_once(of):
    """Nor do another seed, temperature, bound or class."""
    calls, state = of(LEVELS, given=("label",)), a_state()
    calls.sample(state, 3, 0, {"label": 1, "truncation": 1.0})
    with compiled() as found:
        for num, seed, knobs in (
            (1, 0, {}),
            (200, 2**32 - 1, {"temperature": 0.7}),
            (CHUNK, 3, {"temperature": 0.8}),
            (500, 4, {"temperature": 1}),
        ):
            calls.sample(state, num, seed, {"truncation": 2.0, "label": 0} | knobs)
        calls.sample(a_state(2.0), 2, 0, {"truncation": 2, "label": [3, 0]})
    assert not found
    with compiled() as found:
        calls.sample(state, 2, 0, {"label": 1})
    assert found


def test_any_number_of_examples_compiles_twice_at_most(of):
    """Once for few of them, and once for many."""
    calls, state = of(), a_state()
    x = np.arange(900, dtype=np.float32).reshape(300, 3)
    for num in (2, 20):
        calls.decode(state, calls.of_data("encode", state, x[:num], 0, {}), {})
        calls.of_data("log_prob", state, x[:num], 0, {})
    with compiled() as found:
        for num in (1, 7, CHUNK, CHUNK + 1, 300):
            given = x[:num].astype(np.float64).tolist()
            calls.of_data("log_prob", state, given, num, {})
            z = calls.of_data("encode", state, x[:num], 0, {})
            np.testing.assert_array_equal(calls.decode(state, z, {}), x[:num])
    assert not found


def test_a_sample_depends_on_its_place_and_not_on_how_many_there_are(of):
    calls, state = of(), a_state()
    many = calls.sample(state, 300, 5, {})
    for num in (1, 7, CHUNK, CHUNK + 1):
        np.testing.assert_array_equal(calls.sample(state, num, 5, {}), many[:num])
    assert len(np.unique(many, axis=0)) == 300
    np.testing.assert_array_equal(np.concatenate(list(calls.draws(state, 300, 5, {}))), many)


def test_the_first_chunk_is_one_call_of_the_method(of):
    """So were all samples before there were chunks, and so are the grids of training."""
    for num in (4, 64, CHUNK):
        expected = Scaled(POINTS).sample(a_state(), jax.random.key(9), num)
        np.testing.assert_array_equal(of().sample(a_state(), num, 9, {}), expected)


def test_evaluation_draws_the_same_samples(of):
    sampler = Sampler(Scaled(LEVELS), LEVELS, make_mesh())
    found = np.concatenate(list(sampler.samples(a_state(), 300, seed=5)))
    np.testing.assert_array_equal(found, of(LEVELS).sample(a_state(), 300, 5, {}))


def test_all_devices_draw_the_same_samples(of):
    calls = Calls(Scaled(POINTS), POINTS, pathlib.Path("run"), make_mesh())
    num = CHUNK * jax.device_count() + 3
    expected = of().sample(a_state(), num, 5, {})
    np.testing.assert_allclose(calls.sample(a_state(), num, 5, {}), expected, rtol=1e-6)
    few = calls.sample(a_state(), 3, 5, {})
    np.testing.assert_array_equal(few, expected[:3])


def test_noise_of_an_example_depends_on_its_place_alone(of):
    calls, x = of(), np.zeros((300, 3), np.float32)
    many = calls.of_data("log_prob", a_state(), x, 3, {})
    assert len(np.unique(many)) == 300
    for num, within in ((5, 1e-6), (20, 0)):
        found = calls.of_data("log_prob", a_state(), x[:num], 3, {})
        np.testing.assert_allclose(found, many[:num], rtol=within)


def test_classes_go_with_their_examples():
    label = np.arange(300) % 4
    spec = POINTS.with_field("label", kind="label", dtype="int32", classes=4)
    calls = Calls(Scaled(spec, given=("label",)), spec, pathlib.Path("run"))
    moved = calls.sample(a_state(), 300, 0, {"label": label})
    plain = calls.sample(a_state(), 300, 0, {"label": 0})
    np.testing.assert_allclose(moved - plain, np.broadcast_to(label[:, None], (300, 3)), atol=1e-5)
    z = calls.of_data("encode", a_state(), moved, 0, {"label": label})["z"]
    np.testing.assert_allclose(2 * z, moved - label[:, None], atol=1e-5)


def test_ranks_in_chunks(of, monkeypatch):
    monkeypatch.setattr(calibration, "ROWS", 40)
    one, key = of(), jax.random.key(0)
    x = np.random.RandomState(0).randn(110, 3).astype(np.float32)
    found = one.calibrate(a_state(), x, 5, 0)
    ranks, above = found.ranks, 5 * found.credibility
    assert ranks.shape == (110, 2) and above.shape == (110,)
    with compiled() as programs:
        few = one.calibrate(a_state(), x[:100], 5, 0)
    assert not programs
    np.testing.assert_array_equal(few.ranks, ranks[:100])
    _, _, draws, density = Scaled(POINTS).posterior(a_state(), key, x[:40], 5)
    np.testing.assert_array_equal(ranks[:40], (draws < x[:40, None, :2]).sum(1))
    np.testing.assert_array_equal(above[:40], (density > x[:40, :1]).sum(1))
    with pytest.raises(ConfigError, match=r"draws=10,000,.* from one posterior: .* available"):
        one.calibrate(a_state(), x, 10**13, 0)


def test_chunks_are_of_bounded_size():
    sizes = [(8, 8, 1), (28, 28, 1), (32, 32, 3), (64, 64, 3), (256, 256, 3), (1024, 1024, 3)]
    found = [chunk_size(DataSpec.of("x", shape, 256)) for shape in sizes]
    assert found == [128, 128, 64, 16, 1, 1]
    keys = [chunk_key(jax.random.key(0), i, s) for s in (0, 1) for i in range(4)]
    assert len({tuple(np.asarray(jax.random.key_data(k))) for k in keys}) == 8
    assert (jax.random.key_data(keys[0]) == jax.random.key_data(jax.random.key(0))).all()


def test_what_no_memory_holds_is_refused_before_anything_is_compiled(of):
    with compiled() as found, pytest.raises(ConfigError, match=r"num=10,000,.*: .* are available"):
        of().sample(a_state(), 10**13, 0, {})
    assert not found


def test_a_density_can_be_differentiated(of):
    calls, x = of(), jnp.asarray([[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]])

    def total(x):
        found = calls.of_data("log_prob", a_state(), x, 0, {})
        assert isinstance(found, jax.Array)
        return found.sum()

    noise = jax.random.uniform(jax.random.key(0), x.shape)
    np.testing.assert_allclose(jax.grad(total)(x), -2 * (x + noise), rtol=1e-6)
    plain = calls.of_data("log_prob", a_state(), x, 0, {})
    assert isinstance(plain, np.ndarray)
    np.testing.assert_allclose(jax.jit(total)(x), plain.sum(), rtol=1e-6)
    slope = jax.grad(lambda z: calls.decode(a_state(), {"z": z, "n": z[:, :1]}, {}).sum())(x)
    np.testing.assert_array_equal(slope, np.full((2, 3), 2.0))
    with pytest.raises(
        ConfigError, match=r"x\): one example, shape \(3,\), expected examples \[B, 3\]"
    ):
        jax.grad(total)(x[0])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((2, 2, 2, 1), 255, np.uint8), "values from 255 to 255, expected examples"),
        (np.full((2, 2, 2, 1), -1), "values from -1 to -1"),
        (jnp.full((2, 2, 2, 1), 17, jnp.uint8), "values from 17 to 17"),
        (np.zeros((2, 2, 2, 1)), r"float64 values, .* integers from 0 to 16, not scaled"),
        (jnp.zeros((2, 2, 2, 1)), "float32 values"),
        (np.zeros((2, 2, 2, 1), bool), "bool values"),
        (np.zeros((2, 2, 2, 1), complex), "complex128 values"),
        (np.full((2, 2, 2, 1), "3"), "<U1 values"),
        (np.full((2, 2, 2, 1), None), "object values"),
        (np.zeros((2, 2, 1), np.uint8), r"one example, shape \(2, 2, 1\), .*: give x\[None\]"),
        (np.zeros((0, 2, 2, 1), np.uint8), r"shape \(0, 2, 2, 1\), expected examples \[B, 2, 2, 1"),
        (np.zeros((2, 2, 2), np.uint8), r"shape \(2, 2, 2\)"),
        (np.zeros((2, 1, 2, 2), np.uint8), r"shape \(2, 1, 2, 2\)"),
        (3, r"shape \(\)"),
        (None, r"shape \(\)"),
        ([[1], [2, 3]], "no array: "),
        (np.ma.masked_less(np.zeros((2, 2, 2, 1), int), 1), "values that are masked"),
    ],
)
def test_arrays_that_are_no_examples(of, x, message):
    for name in ("log_prob", "encode"):
        with pytest.raises(ConfigError, match=rf"^run\.{name}\(x\): {message}"):
            of(LEVELS).of_data(name, a_state(), x, 0, {})


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((2, 3), np.nan), "2 of 2 examples hold NaN, infinity or what float32 cannot"),
        ([[1.0, 2.0, 1e300]], "1 of 1 examples hold NaN"),
        ([[1.0, 2.0, np.inf], [0, 0, 0]], "1 of 2 examples hold NaN"),
        ([[True, False, True]], "bool values, expected examples"),
        ([["a", "b", "c"]], "<U1 values"),
        ([[1j, 2, 3]], "complex128 values"),
        ([1.0, 2.0, 3.0], "one example"),
        ([[1.0, 2.0]], r"shape \(1, 2\)"),
    ],
)
def test_points_that_are_none(of, x, message):
    with pytest.raises(ConfigError, match=rf"^run\.log_prob\(x\): {message}"):
        of().of_data("log_prob", a_state(), x, 0, {})
    assert of().of_data("log_prob", a_state(), [[1, 2, 3]], 0, {}).shape == (1,)


def test_all_integer_types_are_the_same_examples(of):
    calls, x = of(LEVELS), np.arange(8).reshape(2, 2, 2, 1)
    expected = calls.of_data("log_prob", a_state(), x.astype(np.uint8), 0, {})
    for dtype in (np.int64, np.int8, np.uint16, ">i4"):
        found = calls.of_data("log_prob", a_state(), x.astype(dtype), 0, {})
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (np.zeros((2, 3)), r"\[2, 3\], expected latents as encode gives them: \[B, 1\], \[B, 3\]"),
        ({"n": np.zeros((2, 1)), "z": np.zeros((3, 3))}, r"\[2, 1\], \[3, 3\]"),
        ({"n": np.zeros((2, 1)), "z": np.zeros((2, 4))}, r"\[2, 1\], \[2, 4\]"),
        ({"n": np.zeros((0, 1)), "z": np.zeros((0, 3))}, r"\[0, 1\], \[0, 3\]"),
        ({"n": np.zeros((2, 1)), "z": np.full((2, 3), np.nan)}, "NaN or infinity"),
        ({"n": np.zeros((2, 1)), "z": np.full((2, 3), "a")}, "<U1 values"),
        ({"n": np.zeros((2, 1)), "z": np.zeros((2, 3), complex)}, "complex128 values"),
        ((), "nothing"),
        (None, "nothing"),
    ],
)
def test_latents_that_are_none(of, z, message):
    with pytest.raises(ConfigError, match=rf"^run\.decode\(z\): {message}"):
        of().decode(a_state(), z, {})


@pytest.mark.parametrize(
    ("num", "seed", "knobs", "message"),
    [
        (0, 0, {}, "num=0: expected an integer of 1 or more"),
        (-3, 0, {}, "num=-3: "),
        (2.5, 0, {}, "num=2.5: "),
        ("4", 0, {}, "num='4': "),
        (True, 0, {}, "num=True: "),
        (2, -1, {}, "seed=-1: expected an integer from 0 to 4294967295"),
        (2, 2**32, {}, "seed=4294967296: "),
        (2, 99999999999999999999, {}, "seed=99999999999999999999: "),
        (2, 1.0, {}, "seed=1.0: "),
        (2, None, {}, "seed=None: "),
        (2, 0, {"temperature": -1}, "temperature=-1: expected a finite number of 0 or more"),
        (2, 0, {"temperature": np.nan}, "temperature=nan: "),
        (2, 0, {"temperature": np.inf}, "temperature=inf: "),
        (2, 0, {"temperature": 10**400}, r"temperature=10+\.\.\.: expected a finite"),
        (2, 0, {"temperature": "abc"}, "temperature='abc': "),
        (2, 0, {"temperature": True}, "temperature=True: "),
        (2, 0, {"temperature": None}, "temperature=None: "),
        (2, 0, {"temperature": [1.0, 2.0]}, r"temperature=\[1.0, 2.0\]: "),
        (2, 0, {"truncation": 0}, "truncation=0: expected a finite number above 0"),
        (2, 0, {"truncation": -0.5}, "truncation=-0.5: "),
        (2, 0, {"mode": "none"}, "mode='none': mode none is none"),
        (2, 0, {"mode": 3}, "mode=3: expected a name"),
        (2, 0, {"mean": 1}, "mean=1: expected True or False"),
        (2, 0, {"passes": 1.5}, "passes=1.5: expected an integer"),
        (2, 0, {"label": 4}, "label=4: expected classes 0 to 3"),
        (2, 0, {"label": -1}, "label=-1: expected classes 0 to 3"),
        (2, 0, {"label": 1.5}, "label=1.5: expected classes 0 to 3"),
        (2, 0, {"label": "cat"}, "label='cat': expected classes 0 to 3"),
        (2, 0, {"label": True}, "label=True: expected classes 0 to 3"),
        (
            2,
            0,
            {"label": [0, 1, 2]},
            r"label=\[0, 1, 2\]: 3 of them, expected one class, or 2, one",
        ),
        (2, 0, {"label": []}, r"label=\[\]: expected classes"),
        (2, 0, {"label": [[0], [1, 2]]}, r"label=\[\[0\], \[1, 2\]\]: "),
        (2, 0, {"temprature": 1}, "no such knob 'temprature'; did you mean 'temperature'"),
        (2, 0, {"num": 3}, "no such knob 'num'"),
    ],
)
def test_numbers_seeds_and_knobs_out_of_range(of, num, seed, knobs, message):
    with pytest.raises(ConfigError, match=f"^{message}") as error:
        of(LEVELS, given=("label",)).sample(a_state(), num, seed, knobs)
    assert "\n" not in str(error.value)


def test_numbers_of_numpy_and_jax(of):
    expected = of().sample(a_state(), 3, 5, {"temperature": 0.5})
    for num, seed, temperature in (
        (np.int64(3), np.uint32(5), np.float32(0.5)),
        (np.array(3), jnp.int32(5), jnp.float32(0.5)),
    ):
        found = of().sample(a_state(), num, seed, {"temperature": temperature})
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(ConfigError, match="^seed=Array.*: expected an integer") as error:
        of().sample(a_state(), 3, jax.random.key(0), {})
    assert "\n" not in str(error.value)
    for wrong in (np.bool_(True), jnp.array(True), np.array([3]), np.array(2.0)):
        with pytest.raises(ConfigError, match="^num="):
            of().sample(a_state(), wrong, 0, {})
    with pytest.raises(ConfigError, match="^temperature: expected a number, not one that JAX"):
        jax.grad(lambda t: of().sample(a_state(), 3, 0, {"temperature": t}).sum())(0.5)


def test_options_of_other_calls(of):
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ConfigError, match="no such option 'rounded'"):
        of().of_data("encode", a_state(), x, 0, {"rounded": False})
    with pytest.raises(ConfigError, match="rounded='no': expected True or False"):
        of().decode(a_state(), {"z": x, "n": x[:, :1]}, {"rounded": "no"})
    with pytest.raises(ConfigError, match="label=1: run is given no label: omit it"):
        of().of_data("log_prob", a_state(), x, 0, {"label": 1})
    with pytest.raises(ConfigError, match="Scaled has no reconstruct"):
        of().of_data("reconstruct", a_state(), x, 0, {})
