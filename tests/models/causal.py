"""What autoregressive networks of images are asked for, against brute force."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.nn.heads import Head
from jaxgen.ops.observations import observation

KEY = jax.random.key(0)


def drawn(net, x, head, cond=None, spread=0.3):
    """Variables away from their start, where some are zero: there is nothing to compile."""
    shapes = jax.eval_shape(lambda: net.init(KEY, x, head, cond))
    random = np.random.RandomState(0)
    return jax.tree.map(lambda v: jnp.asarray(spread * random.randn(*v.shape), v.dtype), shapes)


def stepped(net, head, variables, x, cond=None, channelwise=False):
    """theta [B, H, W, width] of a scan over positions, of each when all before it is drawn.

    Args:
        net: network.
        head: sizes.
        variables: of the network.
        x: images [B, H, W, C].
        cond: what they are given.
        channelwise: a position is drawn channel by channel, and asked for before each.
    """
    _, height, width, channels = x.shape
    place = np.arange(height * width * channels).reshape(1, height, width, channels)
    times = channels if channelwise else 1

    def call(cache, *args, method):
        known = {**variables, "cache": cache} if cache else variables
        out, moved = net.apply(known, *args, head, cond, method=method, mutable=["cache"])
        return out, {**cache, **moved.get("cache", {})}

    def body(cache, t):
        def step(cache, c):
            canvas = jnp.where(place < t * channels + c, x, 0)
            return call(cache, canvas, t, method="step")[::-1]

        def row(cache):
            return call(cache, jnp.where(place < t * channels, x, 0), t // width, method="row")[1]

        cache = jax.lax.cond(t % width == 0, row, lambda cache: cache, cache)
        cache, theta = jax.lax.scan(step, cache, jnp.arange(times))  # [times, B, width]
        parts = theta.reshape(times, len(x), times, -1)
        return cache, jnp.stack([parts[c, :, c] for c in range(times)], 1).reshape(len(x), -1)

    def shapes():
        return call(call({}, x, 0, method="row")[1], x, 0, method="step")[1]

    cache = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(shapes))
    _, theta = jax.lax.scan(body, cache, jnp.arange(height * width))
    return jnp.moveaxis(theta, 0, 1).reshape(len(x), height, width, -1)


def jacobian(net, head, variables, x, cond=None):
    """[H * W, width, H * W, C] of theta by one image [1, H, W, C]."""
    _, height, width, channels = x.shape
    image = jnp.asarray(x, jnp.float32)
    found = jax.jacfwd(lambda x: net.apply(variables, x, head, cond))(image)
    return found.reshape(height * width, head.width, height * width, channels)


def check_causal(jac, head, channelwise, blind=False):
    """Exact zeros where nothing may be seen, and other numbers where something must be.

    Args:
        jac: of `jacobian`.
        head: sizes.
        channelwise: theta of a channel sees the channels before it.
        blind: whether something before is not seen.
    """
    jac = np.asarray(jac)
    seen = np.any(jac != 0, axis=(1, 3))
    before = np.tril(np.ones_like(seen), -1)
    own = np.stack([jac[i, :, i] for i in range(len(jac))])  # [positions, width, C]
    assert not np.any(seen & np.triu(np.ones_like(seen), 1))
    channels = jac.shape[3]
    if not channelwise:
        assert not np.any(own)
    for c, d in itertools.product(range(channels if channelwise else 0), range(channels)):
        block = own[:, c * head.values : (c + 1) * head.values, d]
        assert np.any(block) == (d < c)
    assert np.all(seen[before]) != blind


def check_one_hot(net):
    """Codes as zeros and ones: sums to one, steps as the whole, and no order among the values."""
    head, width = Head(3, 3), 3
    x = jnp.asarray(np.random.RandomState(1).randint(0, 3, (9, 3, width, 1)), jnp.uint8)
    x = x.at[1:].set(x[0])  # image j + 1 is the first but for position j - 1 + 1
    places = np.unravel_index(np.arange(8), (3, width))
    x = x.at[np.arange(1, 9), places[0], places[1], 0].set((x[0][places][:, 0] + 1) % 3)
    variables = drawn(net, x, head)
    theta, steps = jax.jit(
        lambda v: (net.apply(v, x, head), stepped(net, head, v, x, channelwise=True))
    )(variables)
    np.testing.assert_allclose(steps, theta, atol=1e-5)
    theta = np.asarray(theta).reshape(9, 9, 3)
    for j in range(8):
        np.testing.assert_allclose(theta[j + 1, : j + 1], theta[0, : j + 1], atol=1e-6)
        assert np.abs(theta[j + 1, j + 1 :] - theta[0, j + 1 :]).max() > 1e-3
    shapes = jax.eval_shape(lambda: net.clone(one_hot=False).init(KEY, x, head))
    grown = sum(
        a.size - b.size for a, b in zip(*map(jax.tree.leaves, (variables, shapes)), strict=True)
    )
    assert grown > 0  # rows of its own for each value


def total(net, name, values, size, **options):
    """The sum of the probabilities of all images of `size`, [H, W, C]."""
    decoder = observation(name, values, **options)
    head = Head(values, decoder.width(size[-1]))
    images = np.stack(list(itertools.product(range(values), repeat=int(np.prod(size)))))
    images = jnp.asarray(images.reshape(-1, *size), jnp.uint8)

    variables = drawn(net, images, head)
    theta = jax.jit(lambda v: net.apply(v, images, head))(variables)
    log_p = np.asarray(decoder.log_prob(images, theta), np.float64)
    assert np.ptp(log_p) > 0.1
    return np.exp(log_p).sum()
