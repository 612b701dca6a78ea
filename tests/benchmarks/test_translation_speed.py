"""The benchmark of translators: PyTorch's side makes of the same weights what ours makes."""

import sys

import jax
import numpy as np
import pytest
from command import ROOT

torch = pytest.importorskip("torch")
sys.path.insert(0, str(ROOT / "benchmarks"))
sys.path.insert(0, str(ROOT / "tests" / "parity"))

with pytest.MonkeyPatch.context() as patch:  # XLA's flags are those of the other tests
    patch.setattr("jaxgen.platform.set_defaults", lambda: None)
    import translation_speed
from peers import cyclegan as peer  # noqa: E402
from translators import back, first, patches, settle  # noqa: E402

from jaxgen.models.gans import cyclegan, spade  # noqa: E402
from jaxgen.models.gans.patchgan import MultiScale, PatchDiscriminator  # noqa: E402

KEY = jax.random.key(0)


def count(make, *args):
    made = jax.eval_shape(make, KEY, *args)
    return sum(leaf.size for leaf in jax.tree.leaves(made["params"]))


def counted(*modules):
    return sum(p.numel() for m in modules for p in m.parameters())


@pytest.mark.parametrize("name", sorted(translation_speed.CYCLEGANS))
def test_cyclegan_has_as_many_parameters(name):
    network, judge, _, side, _ = translation_speed.CYCLEGANS[name]
    x = np.zeros((1, side, side, 3), np.float32)
    ours = count(lambda k: cyclegan.Generator(*network).init(k, jax.numpy.asarray(x), 3))
    assert counted(peer.Generator(3, *network)) == ours
    ours = count(lambda k: PatchDiscriminator(*judge).init(k, jax.numpy.asarray(x)))
    assert counted(peer.discriminator(3, *judge)) == ours


def test_spade_has_as_many_parameters():
    from peers import spade as peer

    t = translation_speed
    cond = jax.numpy.zeros((1, t.SIDE, t.SIDE, t.CLASSES))
    net = spade.Generator(t.WIDTH, t.MULTIPLIERS, (), t.LATENT, t.WIDTH, 4, t.HIDDEN)
    ours = count(lambda k: net.init(k, cond, 3, jax.numpy.zeros((1, t.LATENT))))
    shape = (t.CLASSES, 3, t.WIDTH, t.MULTIPLIERS, t.HIDDEN, t.LATENT, t.SIDE)
    assert counted(peer.Generator(*shape)) == ours
    judge = MultiScale(2, t.JUDGE, 2, "instance", 2, True)
    ours = count(lambda k: judge.init(k, jax.numpy.zeros((1, t.SIDE, t.SIDE, t.CLASSES + 3))))
    assert 2 * counted(peer.discriminator(t.CLASSES + 3, t.JUDGE, 2)) == ours


def test_discriminators_judge_alike():
    theirs = settle(peer.discriminator(3, 4, 2), torch)
    x = np.random.RandomState(0).randn(2, 32, 32, 3).astype(np.float32)
    params = {"params": patches(theirs)}
    ours = PatchDiscriminator(4, 2).apply(params, jax.numpy.asarray(x))
    expected = back(theirs(first(x)))[..., 0]
    np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max())


def test_a_step_moves_every_parameter():
    from peers import spade as their_spade

    torch.manual_seed(0)
    makers = torch.nn.ModuleList(peer.Generator(3, 4, 1, 1, 3) for _ in range(2))
    judges = torch.nn.ModuleList(peer.discriminator(3, 4, 1) for _ in range(2))
    x = torch.randn(2, 3, 16, 16)
    step = lambda adams: peer.step(makers, judges, adams, (x, -x), 0.5)  # noqa: E731
    assert not still((makers, judges), step)
    maker = their_spade.Generator(3, 3, 4, (2, 1), 4, 2, 16, 1)
    judges = torch.nn.ModuleList(their_spade.discriminator(6, 4, 1) for _ in range(2))
    layout = torch.randint(3, (2, 16, 16))
    cond = torch.nn.functional.one_hot(layout, 3).permute(0, 3, 1, 2).float()
    step = lambda adams: their_spade.step(maker, judges, adams, x, cond)  # noqa: E731
    # hinges of logits within (-1, 1) pull a last bias up as much as down
    assert still((maker, judges), step) <= {"1.0.2.bias", "1.1.2.bias"}


def still(players, step):
    """Names of parameters that a step leaves as they were, each after its player's number."""
    adams = [torch.optim.Adam(p.parameters(), 1e-3) for p in players]
    named = {f"{i}.{k}": p for i, m in enumerate(players) for k, p in m.named_parameters()}
    before = {name: p.detach().clone() for name, p in named.items()}
    step(adams)
    return {name for name, p in named.items() if not bool((before[name] != p).any())}
