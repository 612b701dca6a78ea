"""A captioner that draws words, and an evaluator of sets of captions of a picture.

Source: Shetty et al. 2017, Speaking the same language: matching machine to human captions by
adversarial training (arXiv:1703.10476), section 3: a recurrent network with residual connections,
words by a straight-through Gumbel-softmax, and minibatch discrimination within the set. Pictures
pass a small convolutional network here, where the paper has features of ResNet-152.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.nn.arrays import Images, Logits
from jaxgen.nn.conv import Conv
from jaxgen.nn.gan_layers import MinibatchDiscrimination
from jaxgen.nn.words import PAD, Reader, unit
from jaxgen.ops.gumbel import straight_through

Sets = Float[Array, "b k t words"]  # one-hot, or mixtures of words
Noise = Float[Array, "b k latent"]
Word = Float[Array, "n words"]
Seen = Float[Array, "n width"]
Vectors = Float[Array, "b width"]


class Seeing(nn.Module):
    """Pictures to vectors.

    Attributes:
        channels: of the first convolution, doubled by each of the others.
        width: of the vectors.
    """

    channels: int
    width: int

    @nn.compact
    def __call__(self, x: Images) -> Vectors:
        """[B, H, W, C] in [-1, 1] -> [B, width]."""
        for i in range(4):
            stride = 1 + (i > 0)
            conv = Conv(self.channels << i, (3, 3), strides=(stride, stride), name=f"conv_{i}")
            x = jax.nn.gelu(conv(x))
        return nn.Dense(self.width, name="out")(x.reshape(x.shape[0], -1))


class Captioner(nn.Module):
    """The next word from a picture, noise and the words before it.

    Attributes:
        vocabulary: number of words, of which the first ends a sentence; a method takes 0 for those
            of its data.
        latent: width of noise; 0 for none beside that of the words.
        layers: of the recurrent network, each from the second on added to the one below.
        width: of its states.
        embedding: width of the vectors of words.
        channels: of the first convolution over a picture.
        sharpness: factor of the logits; 3 in the official code.
    """

    vocabulary: int = 0
    latent: int = 0
    layers: int = 1
    width: int = 128
    embedding: int = 32
    channels: int = 8
    sharpness: float = 1.0

    def setup(self) -> None:
        """Names the parts."""
        self.seeing = Seeing(self.channels, self.width)
        self.table = nn.Dense(self.embedding, use_bias=False)
        self.cells = [nn.OptimizedLSTMCell(self.width) for _ in range(self.layers)]
        self.says = nn.Dense(self.vocabulary)

    def seen(self, x: Images, z: Noise) -> Seen:
        """Pictures [B, H, W, C] and noise [B, K, latent] to what words depend on, [B K, ...]."""
        found = jnp.repeat(self.seeing(x), z.shape[1], axis=0)
        return jnp.concatenate([found, z.reshape(len(found), -1)], axis=-1)

    def start(self, seen: Seen) -> Any:
        """The memory before the first word."""
        zeros = jnp.zeros((len(seen), self.width), seen.dtype)
        return tuple((zeros, zeros) for _ in range(self.layers))

    def step(self, memory: Any, word: Word, seen: Seen) -> tuple[Any, Word]:
        """The memory after a word, zeros before the first, and the logits of the next."""
        h = jnp.concatenate([self.table(word), seen], axis=-1)
        kept = []
        for i, (cell, carry) in enumerate(zip(self.cells, memory, strict=True)):
            carry, out = cell(carry, h)
            h = h + out if i else out
            kept.append(carry)
        return tuple(kept), self.sharpness * self.says(h)

    def __call__(self, x: Images, words: Sets, z: Noise) -> Sets:
        """Pictures and K captions of each to logits [B, K, T, V] of each word from those before."""
        seen = self.seen(x, z)
        flat = words.reshape(-1, *words.shape[2:])
        before = jnp.pad(flat[:, :-1], ((0, 0), (1, 0), (0, 0)))

        def body(captioner: Captioner, memory: Any, word: Word) -> tuple[Any, Word]:
            return captioner.step(memory, word, seen)

        logits = _over_time(body)(self, self.start(seen), jnp.swapaxes(before, 0, 1))[1]
        return jnp.swapaxes(logits, 0, 1).reshape(words.shape)

    def drawn(self, x: Images, gumbel: Sets, z: Noise, temperature: float) -> Sets:
        """K captions of each picture, drawn with Gumbel noise [B, K, T, V], one-hot.

        Behind the word that ends a sentence all are that word, and no gradient passes. See
        `ops.gumbel.straight_through`.
        """
        seen = self.seen(x, z)
        noise = gumbel.reshape(-1, *gumbel.shape[2:])
        end = jax.nn.one_hot(PAD, gumbel.shape[-1])[None]

        def body(captioner: Captioner, carry: Any, own: Word) -> tuple[Any, Word]:
            memory, word, alive = carry
            memory, logits = captioner.step(memory, word, seen)
            word = straight_through(logits, own, temperature)
            word = jnp.where(alive, word, end)
            ended = jax.lax.stop_gradient(word[:, PAD : PAD + 1]) > 0.5
            return (memory, word, alive & ~ended), word

        first = jnp.zeros((len(seen), gumbel.shape[-1])), jnp.ones((len(seen), 1), bool)
        carry = (self.start(seen), *first)
        words = _over_time(body)(self, carry, jnp.swapaxes(noise, 0, 1))[1]
        return jnp.swapaxes(words, 0, 1).reshape(gumbel.shape)


class Evaluator(nn.Module):
    """How well a set of captions goes with a picture, in any order.

    Attributes:
        channels: of the first convolution over a picture.
        embedding: width of the vectors of words.
        width: of the vectors of pictures and captions.
        kernels: of minibatch discrimination among the captions of a set.
    """

    channels: int = 8
    embedding: int = 32
    width: int = 64
    kernels: int = 16

    def setup(self) -> None:
        """Names the parts."""
        self.seeing = Seeing(self.channels, self.width)
        self.reader = Reader(self.embedding, self.width)
        among = nn.vmap(
            MinibatchDiscrimination, variable_axes={"params": None}, split_rngs={"params": False}
        )
        self.among = among(self.kernels)
        self.of_caption = nn.Dense(self.width)
        self.bias = self.param("bias", nn.initializers.zeros, ())
        self.scale = self.param("scale", nn.initializers.constant(4.0), ())

    def pictures(self, x: Images) -> Vectors:
        """Pictures in [-1, 1] to vectors of length one."""
        return unit(self.seeing(x))

    def captions(self, words: Sets) -> Vectors:
        """Sets of captions to means of their vectors."""
        codes = self.reader(words.reshape(-1, *words.shape[2:]))
        near = self.among(codes.reshape(*words.shape[:2], -1))
        return jnp.mean(self.of_caption(near), axis=1)

    def score(self, pictures: Vectors, captions: Vectors) -> Logits:
        """Logits that a set is of a picture, and of people."""
        return self.scale * jnp.sum(pictures * captions, axis=-1) + self.bias

    def __call__(self, x: Images, words: Sets) -> Logits:
        """Pictures and K captions of each to logits [B]."""
        return self.score(self.pictures(x), self.captions(words))


def _over_time(body: Any) -> Any:
    """A scan of a module's function over words."""
    return nn.scan(body, variable_broadcast="params", split_rngs={"params": False})
