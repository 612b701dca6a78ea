"""Networks of diffusion: official sizes, what conditions do, precision, zeros at the start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from away import scrambled

from jaxgen.models.diffusion.adm import ADM
from jaxgen.models.diffusion.adm_classifier import ADMClassifier
from jaxgen.models.diffusion.ddpm import DDPM
from jaxgen.models.diffusion.dit import DiT, patches, places, unpatched
from jaxgen.models.diffusion.edm import DhariwalUNet, SongUNet
from jaxgen.models.diffusion.vdm import VDM
from jaxgen.nn.unet import Attention, Plan, parted

KEY = jax.random.key(0)
IMPROVED = dict(width=128, attention=(16, 8), head_width=None, heads=4, updown=False)
LARGE = dict(width=256, blocks=2)
HALF = (0.5, 1, 1, 2, 2, 4, 4)
SIZES = {  # network, side, channels, classes, parameters of the paper's code
    "DDPM 32": (DDPM(), 32, 3, 0, 35_746_307),
    "DDPM 256": (DDPM(multipliers=(1, 1, 2, 2, 4, 4)), 256, 3, 0, 113_673_219),
    "iDDPM 32": (ADM(multipliers=(1, 2, 2, 2), **IMPROVED), 32, 3, 0, 52_546_438),
    "iDDPM 64": (ADM(**IMPROVED), 64, 3, 0, 121_063_942),
    "ADM 64": (ADM(), 64, 3, 1000, 295_904_454),
    "ADM 128": (
        ADM(**LARGE, multipliers=(1, 1, 2, 3, 4), head_width=None),
        128,
        3,
        1000,
        421_529_606,
    ),
    "ADM 256": (ADM(**LARGE, multipliers=(1, 1, 2, 2, 4, 4)), 256, 3, 1000, 553_838_086),
    "ADM 512": (ADM(**LARGE, multipliers=HALF), 512, 3, 1000, 558_997_638),
    "classifier 64": (ADMClassifier(1000), 64, 3, 0, 65_438_568),
    "classifier 128": (
        ADMClassifier(1000, multipliers=(1, 1, 2, 3, 4), blocks=2),
        128,
        3,
        0,
        42_568_040,
    ),
    "classifier 256": (
        ADMClassifier(1000, multipliers=(1, 1, 2, 2, 4, 4), blocks=2),
        256,
        3,
        0,
        54_096_360,
    ),
    "classifier 512": (ADMClassifier(1000, multipliers=HALF, blocks=2), 512, 3, 0, 54_448_360),
    "DDPM++": (SongUNet(augment=9), 32, 3, 0, 55_733_891),
    "DDPM++ classes": (SongUNet(augment=9), 32, 3, 10, 55_735_299),
    "NCSN++": (SongUNet("ncsnpp", augment=9), 32, 3, 0, 56_397_827),
    "EDM ADM 64": (DhariwalUNet(), 64, 3, 1000, 295_899_267),
    # the code's has two more, of gamma, and a column for a label that is always there
    "VDM": (VDM(), 32, 3, 1, 30_578_181 - 2),
    # trainable ones; the published file stores positions, too
    "DiT-XL/2": (DiT(2, 28, 1152, 16, outputs=2), 32, 4, 1000, 675_129_632 - 256 * 1152),
    "DiT-S/2": (DiT(outputs=2), 32, 4, 1000, 32_865_056),
    "DiT-S/4": (DiT(4, outputs=2), 32, 4, 1000, 32_920_448),
    "DiT-B/2": (DiT(2, 12, 768, 12, outputs=2), 32, 4, 1000, 130_315_808),
    "DiT-L/4": (DiT(4, 24, 1024, 16, outputs=2), 32, 4, 1000, 457_988_224),
    "MeanFlow B/4": (DiT(4, 12, 768, 12, times=2), 32, 4, 1000, 131_165_248),
}
TINY = dict(width=16, multipliers=(1, 2), blocks=1, attention=(4,))
NETS = {
    "ddpm": DDPM(**TINY, outputs=2),
    "iddpm": ADM(**TINY, head_width=None, heads=2, updown=False, scale_shift=False),
    "adm": ADM(**TINY, head_width=8),
    "ddpmpp": SongUNet(**TINY, augment=2, outputs=2),
    "ncsnpp": SongUNet("ncsnpp", **TINY, outputs=2),
    "dhariwal": DhariwalUNet(**TINY, head_width=8, outputs=2),
    "vdm": VDM(16, 1, attend=True, fourier=(1, 2), outputs=2),
    "dit": DiT(2, 2, 16, 2, outputs=2),
    "meanflow": DiT(2, 1, 16, 2, times=2, outputs=2),
}
X = jnp.asarray(np.random.RandomState(0).randn(3, 8, 8, 2), jnp.float32)
COND = jax.nn.one_hot(jnp.asarray([0, 1, 2]), 3)


def times_of(name):
    time = jnp.asarray([0.5, 20.0, 700.0])
    return jnp.stack([time, time / 2], axis=1) if name == "meanflow" else time


LONG = (
    "ADM 64",
    "ADM 128",
    "ADM 256",
    "classifier 128",
    "classifier 256",
    "DiT-B/2",
    "DiT-L/4",
    "iDDPM 64",
)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in SIZES]
)
def test_sizes_of_the_official_networks(name):
    net, side, channels, classes, expected = SIZES[name]
    shapes = [(1, side, side, channels), (1, 2) if getattr(net, "times", 1) > 1 else (1,)]
    args = [jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes + [(1, classes)] * bool(classes)]
    out, made = jax.eval_shape(net.init_with_output, KEY, *args)
    assert sum(leaf.size for leaf in jax.tree.leaves(made["params"])) == expected
    outputs = getattr(net, "outputs", 1)
    assert out.shape == ((1, 1000) if name[0] == "c" else (1, side, side, outputs * channels))


RARE = ("iddpm", "adm", "ddpmpp", "ncsnpp", "dhariwal", "meanflow")
PARAMS = [pytest.param(n, marks=pytest.mark.slow if n in RARE else ()) for n in NETS]


@pytest.fixture(scope="module", params=PARAMS)
def run(request):
    """The output of a network away from its start, as it is and in other calls, in one program."""
    net, time = NETS[request.param], times_of(request.param)
    made = jax.eval_shape(net.init, KEY, X, time, COND)["params"]
    params = scrambled(jax.tree.map(lambda p: np.zeros(p.shape, np.float32), made), 0.3)
    half = net.clone(dtype="bfloat16")

    @jax.jit
    def everything(params):
        x = jnp.concatenate([X, X, X])
        times, conds = [time, time, time * 1.1], [COND, COND[::-1], COND]
        calls = net.apply({"params": params}, x, *map(jnp.concatenate, (times, conds)))
        return calls, half.apply({"params": params}, X, time, COND)

    calls, coarse = everything(params)
    return *np.split(np.asarray(calls), 3), np.asarray(coarse)


def test_time_and_class_are_heard(run):
    plain, other_class, other_time, _ = run
    assert plain.shape == (3, 8, 8, 4) and plain.dtype == np.float32
    assert np.isfinite(plain).all() and plain.std() > 1e-2
    moved = np.abs(other_class - plain).max((1, 2, 3))
    assert moved[0] > 1e-3 and moved[2] > 1e-3
    np.testing.assert_allclose(other_class[1], plain[1], atol=1e-5)  # which has its own class
    assert (np.abs(other_time - plain).max((1, 2, 3)) > 1e-3).all()


def test_half_precision_is_near_and_of_another_computation(run):
    plain, _, _, coarse = run
    error = np.abs(coarse - plain).max() / np.abs(plain).max()
    assert coarse.dtype == np.float32
    assert 1e-5 < error < 0.2


SHORT = dict(width=8, multipliers=(1,), blocks=1, attention=())


@pytest.mark.parametrize(
    "net", [ADM(**SHORT, head_width=8), VDM(8, 1), DiT(2, 1, 16, 2)], ids=["adm", "vdm", "dit"]
)
def test_output_at_the_start_is_zero_or_the_input(net):
    time = times_of("")
    out = jax.jit(lambda: net.init_with_output(KEY, X, time, COND)[0])()
    expected = X if isinstance(net, VDM) else jnp.zeros_like(out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.slow
@pytest.mark.parametrize("net", [VDM(8, 1), ADM(**SHORT, head_width=8)], ids=["vdm", "adm"])
def test_dropout_is_of_training_and_the_same_when_computed_again(net):
    """`remat` has no other output and no other gradient."""
    time, rngs = times_of(""), {"dropout": KEY}
    made = jax.eval_shape(net.init, KEY, X, time)["params"]
    params = scrambled(jax.tree.map(lambda p: np.zeros(p.shape, np.float32), made), 0.3)

    def loss(params, net):
        out = net.apply({"params": params}, X, time, train=True, rngs=rngs)
        return jnp.mean(out**2), out

    @jax.jit
    def run(params):
        plain = net.apply({"params": params}, X, time)
        both = [jax.grad(loss, has_aux=True)(params, n) for n in (net, net.clone(remat=True))]
        return plain, both

    plain, (stored, again) = run(params)
    assert np.abs(stored[1] - plain).max() > 1e-2
    for a, b in zip(jax.tree.leaves(stored), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_blocks_of_a_dit_are_the_identity_at_first():
    """What the last layer gets of each token are its patch and its place, whatever the depth."""
    net = DiT(2, 3, 16, 2)
    made = jax.jit(net.init)(KEY, X, times_of("dit"), COND)
    params = made["params"]
    random = np.random.RandomState(0)
    params["last"]["kernel"] = jnp.asarray(random.randn(*params["last"]["kernel"].shape))
    out = jax.jit(net.apply)({"params": params}, X, times_of("dit"), COND)
    tokens = np.asarray(patches(X, 2)) @ np.asarray(params["patches"]["kernel"])
    tokens = tokens + np.asarray(places(4, 4, 16))
    normed = (tokens - tokens.mean(-1, keepdims=True)) / np.sqrt(
        tokens.var(-1, keepdims=True) + 1e-6
    )
    last = normed.astype(np.float32) @ np.asarray(params["last"]["kernel"])
    np.testing.assert_allclose(out, unpatched(jnp.asarray(last), 2, 4), atol=2e-4)


def test_patches_are_put_back():
    x = jnp.arange(2 * 4 * 6 * 3.0).reshape(2, 4, 6, 3)
    cut = patches(x, 2)
    np.testing.assert_array_equal(cut[1, 4].reshape(2, 2, 3), x[1, 2:4, 2:4])  # second row
    np.testing.assert_array_equal(unpatched(cut, 2, 2), x)


def test_places_are_column_then_row():
    found = np.asarray(places(3, 2, 8))[0]
    rate = np.array([1.0, 0.01])
    for token, (row, column) in enumerate((r, c) for r in range(3) for c in range(2)):
        waves = [f(v * rate) for v in (column, row) for f in (np.sin, np.cos)]
        np.testing.assert_allclose(found[token], np.concatenate(waves), atol=1e-6)


def test_orders_of_attention_are_one_network_with_permuted_weights():
    channels, heads = 12, 2
    plans = {
        order: Plan(4, (1,), 1, heads=heads, order=order) for order in ("qkv", "legacy", "last")
    }
    x = X[..., :1].repeat(channels, -1) * jnp.arange(1.0, channels + 1).reshape(1, 1, 1, -1)
    made = jax.jit(Attention(plans["qkv"]).init)(KEY, x)
    params = scrambled(made["params"], 0.3)
    expected = jax.jit(Attention(plans["qkv"]).apply)({"params": params}, x)
    number = jnp.arange(3 * channels).reshape(1, 1, -1)
    mine = np.stack(parted(number, heads, "qkv")).ravel()
    for order in ("legacy", "last"):
        theirs = np.stack(parted(number, heads, order)).ravel()
        there = np.argsort(theirs)  # where each of its channels is among q, k and v
        moved = jax.tree.map(lambda p, there=there: p[..., mine[there]], params["qkv"])
        found = jax.jit(Attention(plans[order]).apply)({"params": params | {"qkv": moved}}, x)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert not np.array_equal(mine, theirs)


def test_a_map_stands_beside_the_input():
    """So that a low image says where it is: far from a pixel that changed nothing does."""
    net = VDM(8, 1, fourier=(0,))
    low = jnp.zeros((3, 4, 4, 1))
    made = jax.eval_shape(net.init, KEY, X, times_of("vdm"), low)["params"]
    assert made["first"]["kernel"].shape[2] == 3 * (2 + 1)


def test_wrong_sizes_are_refused():
    time = times_of("ddpm")
    with pytest.raises(ValueError, match="images of 8x8 cannot be halved between 5 levels"):
        jax.eval_shape(DDPM(8, (1,) * 5, 1).init, KEY, X, time)
    with pytest.raises(ValueError, match="head_width=5 does not divide them"):
        jax.eval_shape(ADM(**TINY, head_width=5).init, KEY, X, time)
    with pytest.raises(ValueError, match="patch=3 does not divide images of 8x8"):
        jax.eval_shape(DiT(3, 1, 16, 2).init, KEY, X, time)
    with pytest.raises(ValueError, match=r"times=2, and time has the shape \(3,\)"):
        jax.eval_shape(DiT(2, 1, 16, 2, times=2).init, KEY, X, time)
    with pytest.raises(ValueError, match="order='old' of a U-Net, expected"):
        Plan(8, (1,), 1, order="old")
    with pytest.raises(ValueError, match="kind='ddpm', expected one of"):
        jax.eval_shape(SongUNet("ddpm", **TINY).init, KEY, X, time)
