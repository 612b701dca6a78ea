"""Voices: what depends on whom in the networks, codes over time, sounds sample by sample."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.data import spoken
from jaxgen.fields import DataSpec, Field
from jaxgen.methods.autoencoder import Reconstruction
from jaxgen.methods.quantized import QuantizedAutoencoder
from jaxgen.methods.raster import Raster
from jaxgen.methods.sound_codes import SoundCodes
from jaxgen.models.vaes.voice_vae import VoiceAE, VoiceVQ
from jaxgen.models.vaes.wave_vae import WaveVQ
from jaxgen.nn.heads import Head
from jaxgen.types import State

KEY = jax.random.key(0)
SPEAKERS, LEVELS, T, B = 3, 8, 30, 4
RANDOM = np.random.RandomState(0)
BOOK = {"name": "codebook", "codes": 5, "dim": 3, "start": "kmeans"}
LABEL = Field("label", dtype="int32", classes=SPEAKERS)
MEL = DataSpec("mel", {"x": Field("image", (6, 7, 1), rate=8000), "label": LABEL})
WAVE = DataSpec(
    "wave", {"x": Field("sequence", (T, 1), "uint8", levels=LEVELS, rate=8000), "label": LABEL}
)
FRAMES = {
    "x": jnp.asarray(RANDOM.randn(B, 6, 7, 1), jnp.float32),
    "label": jnp.arange(B, dtype=jnp.int32) % SPEAKERS,
}
SOUNDS = FRAMES | {"x": jnp.asarray(RANDOM.randint(LEVELS, size=(B, T, 1)), jnp.uint8)}
WAVES = WaveVQ(8, 3, 2, (1, 2, 4), 4, 6, LEVELS, BOOK)


def started(method, batch):
    """A state without a zero."""
    params, variables = jax.jit(method.init)(KEY, batch)
    leaves, tree = jax.tree.flatten(params)
    leaves = [jnp.asarray(0.4 * RANDOM.randn(*leaf.shape), leaf.dtype) for leaf in leaves]
    return State(jnp.int32(0), tree.unflatten(leaves), variables, {}, {})


@pytest.fixture(scope="module")
def waves():
    method = SoundCodes(WAVES, WAVE, given=("label",))
    return method, started(method, SOUNDS)


@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
@pytest.mark.parametrize("frames", [7, 8, 1])
def test_maps_are_what_the_network_makes(halvings, frames):
    model = VoiceVQ(4, 1, halvings, BOOK)
    x, size, cond = jnp.zeros((2, 6, frames, 1)), (2, 6, frames, 2), jnp.zeros((2, SPEAKERS))
    coding = jax.eval_shape(lambda: model.init_with_output(KEY, x, size, cond)[0])
    assert coding.theta.shape == size
    of = model.maps(x.shape[1:])["codes"]
    assert coding.codes["codes"].ids.shape == (2, *of[:3]) and of.codes == 5


@pytest.mark.slow
@pytest.mark.parametrize("model", [VoiceVQ(4, 1, 1, BOOK), VoiceAE(4, 1, 1, 2)])
def test_codes_know_no_speaker_and_decoders_do(model):
    options = {"given": ("label",), "observation": "gaussian"}
    kind = QuantizedAutoencoder if isinstance(model, VoiceVQ) else Reconstruction
    method = kind(model, MEL, **options)
    state = started(method, FRAMES)
    x, label = FRAMES["x"], FRAMES["label"]
    codes = [method.encode(state, x, KEY, given={"label": k}) for k in (label, (label + 1) % 3)]
    jax.tree.map(np.testing.assert_array_equal, *codes)
    same, other = (
        method.decode(state, codes[0], given={"label": k}) for k in (label, (label + 1) % 3)
    )
    assert same.shape == x.shape and np.abs(same - other).max(axis=(1, 2, 3)).min() > 1e-3
    mixed = method.decode(state, codes[0], given={"label": jnp.int32(2)})
    np.testing.assert_array_equal(mixed[2], same[2])
    theta = method.reconstruct(state, x, KEY, given={"label": label})
    np.testing.assert_allclose(theta, same, rtol=1e-5, atol=1e-6)
    nats = method.evaluate(state, FRAMES, KEY)["reconstruction"]
    exact = 0.5 * np.sum(np.square(same - x) + np.log(2 * np.pi), axis=(1, 2, 3))
    np.testing.assert_allclose(nats, exact, rtol=1e-4)
    drawn = method.sample(state, KEY, 3, given={"label": jnp.int32(1)})
    assert drawn.shape == (3, 6, 7, 1) and np.isfinite(drawn).all()
    with pytest.raises(ConfigError, match="this model is given label"):
        method.decode(state, codes[0])


def test_what_is_given_enters_the_density():
    method = QuantizedAutoencoder(VoiceVQ(4, 1, 0, BOOK), MEL, "gaussian", given=("label",))
    assert method.density.given == ("label",) and method.given == ("label",)
    with pytest.raises(ConfigError, match=r"config.method.given=who: mel has no such field"):
        QuantizedAutoencoder(VoiceVQ(quantizer=BOOK), MEL, "gaussian", given=("who",))
    with pytest.raises(ConfigError, match="maps of codes are of images, wave has sequences"):
        QuantizedAutoencoder(VoiceVQ(quantizer=BOOK), WAVE)
    with pytest.raises(ConfigError, match="maps of codes are of sequences, mel has images"):
        SoundCodes(WAVES, MEL, "gaussian")
    with pytest.raises(ConfigError, match=r"config.model.levels=256, and wave has 8 levels"):
        SoundCodes(WaveVQ(quantizer=BOOK), WAVE)


def theta(method, state, x, z, label):
    given = {"label": label}
    return method.theta_of(state, x, z, given)


def test_a_sample_sees_those_before_it_alone(waves):
    """The Jacobian of logits by an embedding of the levels, which are integers themselves."""
    method, state = waves
    net = method.model.bind({"params": state.params["model"], **state.vars["model"]})
    q = jnp.asarray(RANDOM.randn(1, 4, 3), jnp.float32)
    cond = jnp.eye(SPEAKERS)[:1]
    table = net.decoder.variables["params"]["hears"]["embedding"]
    x = SOUNDS["x"][:1].astype(jnp.int32)

    def logits(shifts):
        """Of levels whose embeddings are moved, one by one."""
        wide = jnp.concatenate([table, table[x[0, :, 0]] + shifts])
        params = state.params["model"]["decoder"] | {"hears": {"embedding": wide}}
        own = net.decoder.clone(levels=LEVELS + T, parent=None)
        places = jnp.pad(LEVELS + jnp.arange(T - 1), (1, 0), constant_values=-1)
        return own.apply({"params": params}, places[None, :, None], q, cond, LEVELS)[0]

    slopes = jax.jit(jax.jacobian(logits))(jnp.zeros((T, 4)))  # [T, levels, T, 4]
    moved = np.abs(slopes).max(axis=(1, 3))
    assert not np.triu(moved).any()
    lags = np.subtract.outer(np.arange(T), np.arange(T))
    reach = 1 + 2 * (1 + 2 + 4)
    assert (moved[(0 < lags) & (lags <= reach)] > 0).all() and not moved[lags > reach].any()
    z = {"codes": jnp.asarray(RANDOM.randint(5, size=(B, 1, 4, 1)))}
    args = (method, state, SOUNDS["x"], z, SOUNDS["label"])
    whole = net.decoder(
        jnp.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)), constant_values=-1),
        net.book.lookup(z["codes"])[:1, 0],
        cond,
        LEVELS,
    )
    np.testing.assert_allclose(whole[0], theta(*args)[0], atol=1e-5)


def test_a_code_is_heard_from_its_first_sample_on(waves):
    method, state = waves
    ids = np.zeros((B, 1, 4, 1), np.int32)
    one, other = {"codes": jnp.asarray(ids)}, {"codes": jnp.asarray(ids)}
    other = {"codes": one["codes"].at[:, :, 2].set(3)}
    found = [theta(method, state, SOUNDS["x"], z, SOUNDS["label"]) for z in (one, other)]
    differs = np.abs(found[0] - found[1]).max(axis=(0, 2)) > 0
    assert not differs[:16].any() and differs[16:].all()  # of 8 samples a code


def test_steps_are_the_whole_pass(waves):
    """Drawn with queues, a sample has the logits that all samples before it give at once."""
    method, state = waves
    z = method.encode(state, SOUNDS["x"], KEY)
    given = {"label": SOUNDS["label"]}
    x = SOUNDS["x"]
    ids = method.whole(z)
    cond = ids, method.beside(given, B)["cond"]

    raster = Raster(method.player, Head(LEVELS, LEVELS), (T, 1), (T,), 1)

    @jax.jit
    def stepped(x):
        def step(memory, t):
            seen = jnp.where(jnp.arange(T)[None, :, None] < t, x, 0)
            raster.step(state, memory, seen, t, cond)  # a step may come again
            logits, memory = raster.step(state, memory, seen, t, cond)
            again, _ = raster.step(state, memory, seen, t, cond)
            return memory, (logits, again)

        return jax.lax.scan(step, raster.start(state, x, cond), jnp.arange(T))[1]

    whole = np.asarray(theta(method, state, x, z, SOUNDS["label"]))
    for found in stepped(x):
        np.testing.assert_allclose(np.moveaxis(found, 0, 1), whole, atol=1e-5)


@pytest.mark.slow
def test_draws_of_samples_are_likely(waves):
    """At temperature 0 every sample is the likeliest one after those drawn before it."""
    method, state = waves
    z = method.encode(state, SOUNDS["x"], KEY)
    given = {"label": SOUNDS["label"]}
    draw = jax.jit(lambda t, given: method.drawn(state, z, KEY, t, given))
    cold = draw(0.0, given)
    assert cold.shape == (B, T, 1) and cold.dtype == jnp.uint8
    best = np.argmax(theta(method, state, cold, z, SOUNDS["label"]), -1)
    np.testing.assert_array_equal(best, cold[..., 0])
    other = draw(1.0, given)
    assert (other != cold).mean() > 0.2
    decoded = method.decode(state, z, given=given)
    np.testing.assert_array_equal(decoded, method.reconstruct(state, SOUNDS["x"], KEY, given))


def test_masses_of_sounds_add_up():
    """Over all sounds of two samples of three levels, whatever the code."""
    spec = DataSpec(
        "two", {"x": Field("sequence", (2, 1), "uint8", levels=3, rate=8000), "label": LABEL}
    )
    method = SoundCodes(WaveVQ(4, 1, 1, (1,), 3, 4, 3, BOOK), spec, given=("label",))
    every = jnp.asarray(np.indices((3, 3)).reshape(2, 9).T[..., None], jnp.uint8)
    batch = {"x": every, "label": jnp.zeros(9, jnp.int32)}
    state = started(method, batch)
    z = {"codes": jnp.full((9, 1, 1, 1), 2)}
    nats = method.code_log_prob(state, every, z, given={"label": batch["label"]})
    assert np.exp(nats).sum() == pytest.approx(1, rel=1e-5)
    assert len(np.unique(nats)) == 9


def test_sizes_of_the_paper():
    """Of 16,000 samples a second 250 codes, 64 times fewer, of 512."""
    of = WaveVQ(quantizer={"name": "codebook", "codes": 512, "dim": 64}).maps((16_000, 1))["codes"]
    assert (of.width, of.groups, of.codes) == (250, 1, 512)
    assert spoken.field(16_384, 16_000).shape == (16_384, 1)
