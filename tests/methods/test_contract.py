"""What every method promises, in the tiny preset of every config: `types.Method`, `abilities`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import CONFIGS, DRAWING, config_of, tiny

from jaxgen.abilities import Decodes, Density, Encodes, Infers, Restores, given
from jaxgen.methods.elbo import ELBO
from jaxgen.methods.quantized import QuantizedAutoencoder
from jaxgen.ops.targets import TARGETS
from jaxgen.train.step import NONFINITE

KEY = jax.random.key(7)
SIZE = 4


QUICK_STEPS = {"dcgan", "gan", "iaf", "stylegan3", "umnn"}
SLOW = {"gan", "iaf", "flowpp", "nvae", "umnn", "vdvae"}  # to compile; so are two players on images
SLOW |= {"vqvae2", "dvae"}  # beside "vqvae", whose method they have
# whose own tests train them, and hold their samples
SLOW |= {"stackgan", "caption_gan", "cyclegan", "pix2pix", "pix2pixhd", "spade", "calogan"}
SLOW |= {"caloflow", "cosmogan", "molecule_vae", "ffjord", "tsnpe", "stylegan3", "voice_vae"}
SLOW |= {"ddpm", "kl_autoencoder", "sim_to_real"}
# of a method that another config has; their own tests hold samples, codes and densities
OWN = {"conv_draw", "iaf_vae", "pixelcnn", "pixelcnnpp", "pixelsnail", "realnvp", "spline"}
OWN |= {"adm", "dit", "edm", "vdm"}


def is_slow(name):
    config = config_of(name)
    two = "discriminator" in config["model"]
    return name in SLOW or (two and config["data"]["name"] == "digits")


def params(names, slow):
    return [pytest.param(n, marks=pytest.mark.slow if slow(n) else ()) for n in names]


PARAMS = params(DRAWING, lambda name: is_slow(name) or name in OWN)
# a step compiles sooner than all calls of a method; those of these methods, or of others with their
# networks, are in train/test_every_method.py
TRAINED = {"adm", "adm_classifier", "dit", "edm", "pixelcnn", "pixelcnnpp", "pixelsnail", "vdm"}
TRAINED |= {"conv_draw", "iaf_vae", "realnvp", "spline"}
STEPS = params(CONFIGS, lambda n: (is_slow(n) and n not in QUICK_STEPS) or n in TRAINED)


@pytest.fixture(scope="module", params=PARAMS)
def made(request, data_root):
    return tiny(request.param, data_root, SIZE)


def own(made):
    """What the method is given of the examples, as an argument of its calls."""
    fields = {name: made.batch[name] for name in given(made.method)}
    return {"given": fields} if fields else {}


def knobs(made):
    """What a sample cannot do without."""
    asked = {}
    if named := [k for k in given(made.method) if k != "label"]:
        asked["given"] = {k: made.batch[k] for k in named}
    if isinstance(made.method, Infers):
        asked["observation"] = made.batch["x"][0, made.method.parameters :]
    return asked


def in_range(x, dtype, spec):
    """Whether values may be data."""
    assert x.dtype == dtype and np.isfinite(x).all()
    if spec.levels is not None:
        assert x.min() >= 0 and x.max() <= spec.levels - 1
    space = TARGETS[spec.name].space if spec.name in TARGETS else "plane"
    if space == "torus":
        assert x.min() >= 0 and x.max() <= 2 * np.pi
    if space == "sphere":
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-5)


def test_samples_are_data(made):
    method, spec, state, batch, _ = made
    sample = functools.partial(method.sample, num=SIZE, **knobs(made))
    x = np.asarray(jax.jit(lambda state, rng: sample(state, rng))(state, KEY))
    part = isinstance(method, Density) and method.density.of != "x"
    shape = (method.density.dims,) if part else spec.shape
    shape = (method.parameters,) if isinstance(method, Infers) else shape
    assert x.shape in ((SIZE, *shape), (SIZE, *_pair(shape)))
    # a Gaussian draws real levels, which evaluation rounds
    real = isinstance(method, ELBO | QuantizedAutoencoder) and not method.decoder.is_mass
    in_range(x, np.float32 if real else batch["x"].dtype, spec)


def _pair(shape):
    """Two images side by side, as of coupled games."""
    return shape if len(shape) < 3 else (shape[0], 2 * shape[1], shape[2])


def test_what_is_decoded_of_the_code_is_the_reconstruction(made, monkeypatch):
    """Of the code's mean, where there is noise; without any, it is the example itself."""
    method, spec, state, batch, _ = made
    if not (isinstance(method, Encodes) and isinstance(method, Decodes)):
        pytest.skip("has no codes")
    x, fields = batch["x"], own(made)

    def there_and_back(state, x):
        z = method.encode(state, x, KEY, **fields)
        back = method.decode(state, z, rounded=True, **fields)
        if not isinstance(method, Restores):
            return back, None
        monkeypatch.setattr(jax.random, "normal", lambda rng, shape, dtype: jnp.zeros(shape, dtype))
        z = method.encode(state, x, KEY, **fields)
        expected = method.reconstruct(state, x, KEY, **fields)
        return back, (method.decode(state, z, rounded=False, **fields), expected)

    back, real = jax.jit(there_and_back)(state, x)
    assert back.shape == x.shape
    in_range(np.asarray(back), x.dtype, spec)
    if real:
        np.testing.assert_allclose(*real, rtol=1e-5, atol=1e-5)
    elif spec.levels is not None:
        np.testing.assert_array_equal(back, x)
    else:
        np.testing.assert_allclose(back, x, rtol=1e-3, atol=1e-3)


def test_log_prob_is_what_evaluation_says(made):
    """Every column is there; what is not averaged over draws of latents is the same number."""
    method, _, state, batch, _ = made
    if not isinstance(method, Density):
        pytest.skip("has no density")

    @jax.jit
    def both(state, batch):
        return method.evaluate(state, batch, KEY), method.log_prob(
            state, batch["x"], KEY, **own(made)
        )

    columns, log_prob = both(state, batch)
    assert method.likelihoods and set(method.likelihoods) <= set(columns)
    assert log_prob.shape == (SIZE,) and np.isfinite(log_prob).all()
    for name, of in method.likelihoods.items():
        nats = columns[name] * (of.dims * np.log(2) if name.endswith("bpd") else 1)
        if of == method.density and of.kind in ("exact", "udq", "vdq"):
            np.testing.assert_allclose(nats, -log_prob, rtol=1e-5)


@pytest.mark.parametrize("made", STEPS, indirect=True)
def test_two_steps_train(made):
    """As the preset says: the second has its learning rate, where the first begins to warm up."""
    method, _, start, batch, step = made
    most = max(turn.times for turn in method.turns)
    batch = {k: np.concatenate([v] * most) for k, v in batch.items()}
    step, state = jax.jit(step), start
    for _ in range(2):
        state, metrics = step(state, batch, KEY)
        assert not [k for k, v in metrics.items() if not np.isfinite(v).all()]
        assert not [k for k, v in metrics.items() if k.endswith(NONFINITE) and v]
    assert int(state.step) == 2
    for player, params in state.params.items():
        before, after = (jax.tree.leaves(p) for p in (start.params[player], params))
        assert any((a != b).any() for a, b in zip(before, after, strict=True)), player
