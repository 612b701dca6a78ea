"""Lossy files: the first groups of latents alone, and a draw of all that is not said.

A latent is the mean of its posterior, rounded to bins of the prior's deviation. How often each bin
is taken is a Laplace density, one for each channel of a group, whose scale the file says. The other
groups are drawn from their priors by a seed, and the example is the expected one.

Source: Gregor et al. 2016, Towards conceptual compression, section 4.2 (the first groups, and a
draw of the rest), which counts bits and writes none; bins and their frequencies are ours.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import scipy.special

from jaxgen.abilities import Decodes
from jaxgen.coding.archive import Chunk
from jaxgen.coding.latents import Latents
from jaxgen.coding.network import Network
from jaxgen.config import ConfigError
from jaxgen.evaluate.sampling import filled

MOST = 255  # bins from the middle
EIGHTH, SCALES = 8, 96  # a scale is 2^(i / EIGHTH) of the least, i below SCALES
LEAST = 2.0**-4  # bins
DEFAULTS = {"fineness": 2, "seed": 0}


class Groups(Latents):
    """The first latents of a model, for a range coder.

    Attributes:
        kept: groups of latents that a file holds, from the top.
        fineness: bins in a deviation of the prior.
        seed: of what is drawn; 0 takes the priors' means.
    """

    kind, usual_batch, lossless = "groups", 32, False
    takes = ("groups", "fineness", "seed")

    def __init__(self, network: Network, batch: int, groups: int, **options: int):
        """Of a method that is `BitsBack` and `Decodes`.

        Raises:
            ConfigError: for a number of groups that there are not.
        """
        super().__init__(network, batch)
        options = DEFAULTS | options
        self.kept, self.fineness, self.seed = groups, options["fineness"], options["seed"]
        if not 1 <= groups <= len(self.zeros):
            raise ConfigError(f"groups={groups}, expected 1 to {len(self.zeros)} of this model")
        if not 1 <= self.fineness <= 64:
            raise ConfigError(f"fineness={self.fineness}, expected 1 to 64 bins a deviation")
        method: Any = self.method
        self._decode = network.compiled(lambda state, z: method.decode(state, z, rounded=True))

    @staticmethod
    def fits(method: Any) -> bool:
        """Whether the method says what is needed."""
        return Latents.fits(method) and isinstance(method, Decodes)

    @property
    def options(self) -> dict[str, int]:
        """What a decoder has to know."""
        return {"groups": self.kept, "fineness": self.fineness, "seed": self.seed}

    def _at(self, law: Any, bins: np.ndarray) -> np.ndarray:
        """Latents of bins [B, ...]."""
        return law[0] + law[1] * (bins / self.fineness)

    def encode(self, x: np.ndarray) -> Chunk:
        """Of examples [N, ...]."""
        import constriction

        found: list[list[np.ndarray]] = []
        for start in range(0, len(x), self.batch):
            part, z = x[start : start + self.batch], [zero.copy() for zero in self.zeros]
            found.append([])
            for group in range(self.kept):
                law = self._look(filled(part, 0, self.batch), z)[0][group]
                bins = np.clip(np.rint(law[2] * self.fineness), -MOST, MOST)
                z[group] = self._at(law, bins)
                found[-1].append(bins[: len(part)].astype(np.int32))
        scales = [_scales([batch[group] for batch in found]) for group in range(self.kept)]
        encoder = constriction.stream.queue.RangeEncoder()
        encoder.encode(np.concatenate(scales).astype(np.int32), _even(SCALES))
        for batch in found:
            for bins, scale in zip(batch, scales, strict=True):
                encoder.encode(bins.ravel(), _laplace(), *_laws(scale, bins.shape))
        return Chunk(np.asarray(encoder.get_compressed()))

    def decode(self, chunk: Chunk, count: int) -> np.ndarray:
        """What the file keeps of the examples, [count, ...]."""
        import constriction

        decoder = constriction.stream.queue.RangeDecoder(chunk.words)
        widths = [zero.shape[-1] for zero in self.zeros[: self.kept]]
        scales = np.split(decoder.decode(_even(SCALES), sum(widths)), np.cumsum(widths)[:-1])
        spec = self.network.spec
        out = np.zeros((count, *spec.shape), spec.x.dtype)
        for start in range(0, count, self.batch):
            z, real = [zero.copy() for zero in self.zeros], min(self.batch, count - start)
            for group, zero in enumerate(self.zeros):
                law = self._look(self._blank, z)[0][group]
                if group < self.kept:
                    bins, shape = np.zeros(zero.shape), (real, *zero.shape[1:])
                    laws = _laws(scales[group], shape)
                    bins[:real] = np.reshape(decoder.decode(_laplace(), *laws), shape)
                    # as of the encoder's last batch, which its last example filled up
                    z[group] = self._at(law, filled(bins[:real], 0, self.batch))
                else:
                    z[group] = law[0] + law[1] * self._noise(zero.shape, start, group)
            out[start : start + real] = np.asarray(self._decode(tuple(z)))[:real]
        return out

    def _noise(self, shape: tuple[int, ...], start: int, group: int) -> np.ndarray:
        """Standard normal, the same everywhere; zeros for the seed 0."""
        if not self.seed:
            return np.zeros(shape)
        name = f"jaxgen: {self.seed} {start} {group}".encode()
        raw = hashlib.shake_256(name).digest(4 * int(np.prod(shape)))
        return scipy.special.ndtri((np.frombuffer(raw, "<u4") + 0.5) / 2**32).reshape(shape)


def _scales(bins: list[np.ndarray]) -> np.ndarray:
    """Number of the scale of each channel, of bins [N, ..., K]."""
    size = np.concatenate([np.abs(part).reshape(-1, part.shape[-1]) for part in bins]).mean(0)
    wanted = np.rint(EIGHTH * np.log2(np.maximum(size, LEAST) / LEAST))
    return np.minimum(wanted, SCALES - 1).astype(np.int32)


def _laws(scales: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Means and scales of bins of a shape, flat."""
    each = np.broadcast_to(LEAST * np.exp2(scales / EIGHTH), shape).ravel()
    return np.zeros(each.size), np.ascontiguousarray(each)


def _laplace() -> Any:
    """Of bins whose scales are given."""
    import constriction

    return constriction.stream.model.QuantizedLaplace(-MOST, MOST)


def _even(size: int) -> Any:
    """Of numbers below `size`."""
    import constriction

    return constriction.stream.model.Uniform(size)
