"""The networks of molecules: sizes of the official code, causality, steps as the whole pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.vaes.molecule_vae import MoleculeVAE, TransformerMoleculeVAE
from jaxgen.nn.heads import Head
from jaxgen.nn.recurrent import GRU

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)
T, WORDS, B = 9, 5, 3
SMALL = dict(
    vocabulary=WORDS,
    latent=3,
    channels=(4, 4),
    kernels=(3, 2),
    hidden=6,
    predictor=(4, 4),
    properties=2,
)
MODELS = {
    "recurrent": MoleculeVAE(**SMALL, width=7, depth=2),
    "transformer": TransformerMoleculeVAE(**SMALL, width=8, depth=2, heads=2),
}
X = jnp.asarray(RANDOM.randint(WORDS, size=(B, T)), jnp.uint8)
Z = jnp.asarray(RANDOM.randn(B, 3), jnp.float32)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_counts_of_the_official_networks():
    """228,078 to the mean, 38,612, and 3,958,780, of which 35 biases are never used there."""
    model = MoleculeVAE(vocabulary=35)
    x = jnp.zeros((1, 120), jnp.uint8)
    keys = {"params": KEY, "latent": KEY}
    params = jax.eval_shape(lambda: model.init(keys, x, (1, 120 * 35)))["params"]
    assert count(params["encoder"]) + count(params["mean"]) == 228_078
    assert count(params["log_var"]) == 38_612
    assert count(params["writer"]) == 3_958_780 - 35


@pytest.fixture(scope="module", params=MODELS)
def made(request):
    """A model and variables without a zero."""
    model = MODELS[request.param]
    variables = model.init({"params": KEY, "latent": KEY}, X, (B, T * WORDS))
    leaves, tree = jax.tree.flatten(variables["params"])
    leaves = [jnp.asarray(0.4 * RANDOM.randn(*leaf.shape), jnp.float32) for leaf in leaves]
    return model, {**variables, "params": tree.unflatten(leaves)}


def logits(model, variables, z, x):
    found = model.apply(variables, z, x, False, method=lambda m, *args: m.writer(*args))
    return np.asarray(jax.nn.log_softmax(found))


def test_characters_see_those_before_them_alone(made):
    model, variables = made
    whole = logits(model, variables, Z, X)
    for t in range(T):
        other = X.at[:, t].set((X[:, t] + 1) % WORDS)
        apart = np.abs(logits(model, variables, Z, other) - whole).max((0, 2))
        assert not apart[: t + 1].any() and (t == T - 1 or apart[t + 1] > 1e-6)
    assert (np.abs(logits(model, variables, Z + 1, X) - whole).max((0, 2)) > 1e-6).all()


def test_steps_are_the_whole_pass(made):
    model, variables = made
    whole, head = logits(model, variables, Z, X), Head(WORDS, WORDS)
    _, moved = model.apply(variables, X, head, Z, method="start", mutable=["cache"])
    for t in range(T):
        seen = jnp.where(jnp.arange(T)[None] < t, X, jnp.uint8(0))
        given = {**variables, **moved}
        found, moved = model.apply(
            given, seen, jnp.int32(t), head, Z, method="step", mutable=["cache"]
        )
        np.testing.assert_allclose(jax.nn.log_softmax(found), whole[:, t], atol=2e-5)


def test_texts_too_short_for_the_kernels(made):
    model, _ = made
    with pytest.raises(ValueError, match="too long for texts of 3"):
        model.init({"params": KEY, "latent": KEY}, X[:, :3], (B, 3 * WORDS))


@pytest.mark.parametrize("terminal", [False, True])
def test_a_step_of_a_unit_by_hand(terminal):
    """Keras 2: the reset before the product, the hard sigmoid; the terminal one's own term."""
    h, x, said, keep = (RANDOM.randn(*s) for s in ((2, 4), (2, 12), (2, 4), (3, 2, 4)))
    h = np.abs(h) / np.abs(h).sum(-1, keepdims=True) if terminal else h
    cell = GRU(4, terminal)
    with jax.enable_x64(True):
        given = [jnp.asarray(v) for v in (h, x, said, keep)]
        given[2] = given[2] if terminal else None
        variables = cell.init(KEY, *given)
        found = np.asarray(cell.apply(variables, *given))
    w = {k: np.asarray(v["kernel"]) for k, v in variables["params"].items()}
    a, b, c = np.split(x, 3, -1)
    update = np.clip(0.2 * (a + (h * keep[0]) @ w["update"]) + 0.5, 0, 1)
    reset = np.clip(0.2 * (b + (h * keep[1]) @ w["reset"]) + 0.5, 0, 1)
    new = c + (reset * h * keep[2]) @ w["candidate"]
    new = new + (reset * said) @ w["said"] if terminal else new
    new = np.exp(new) / np.exp(new).sum(-1, keepdims=True) if terminal else np.tanh(new)
    np.testing.assert_allclose(found, update * h + (1 - update) * new, rtol=1e-12)
