"""Translation with features of every object, which say how it is to look."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.coarse_to_fine import CoarseToFine
from jaxgen.methods.memory import recalled, remembering
from jaxgen.methods.translation import Pair
from jaxgen.ops.parts import first_pixels, kept, numbered
from jaxgen.ops.quantize import kmeans
from jaxgen.types import Array, Batch, Metrics, Params, State, Vars

MOST = 128  # parts of a picture that are remembered


@dataclasses.dataclass(frozen=True)
class InstanceFeatures(CoarseToFine):
    """An encoder finds features of every object in x, and the generator makes x of them too.

    A feature is the mean of the encoder's output over a part: the pixels of one instance and one
    class, so that of an instance of several classes, as a house with windows, each has its own;
    without `instances` in `given`, all that is of one class. Encoder and generator are trained
    together. The newest features of every class are kept in `vars["game"]`. When one samples,
    k-means finds centres of them, and each part has one of those of its class, drawn evenly. An
    image that is given as an example lends its features to parts where they are.

    The official code encodes the training set when training is over, and leaves objects out that
    fill less than 1/64 of the picture; here none are, and the features are of the last steps, of
    the first 128 parts of a picture.

    Source: Wang et al. 2018 (pix2pixHD), section 3.3.

    Attributes:
        generator: as that of `CoarseToFine`, with an attribute `features`, channels; `encode(x,
            parts) -> [B, H, W, features]`; these are its z.
        clusters: centres of each class.
        kept: features of each class that are remembered.
    """

    clusters: int = 10
    kept: int = 256

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if "layout" not in self.given:
            raise ConfigError(
                f"config.method.given={', '.join(self.given)}: features are drawn by class: add "
                "layout"
            )
        if not self.generator.features:
            raise ConfigError("config.model.generator.features=0: expected channels, as 3")
        if not 1 <= self.clusters <= self.kept:
            raise ConfigError(
                f"config.method.clusters={self.clusters}, kept={self.kept}: expected 1 or more "
                "clusters, and as many features or more"
            )

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises both players on a batch, and an empty memory."""
        params, variables = super().init(rng, batch)
        classes = self.spec.fields["layout"].values
        assert classes is not None, "a layout"
        table = jnp.zeros((classes, self.kept, self.generator.features))
        memory = {"features": table, "counts": jnp.zeros(classes, jnp.int32)}
        return params, remembering(variables, memory)

    def discriminator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the discriminators pay; features of the batch are remembered."""
        paid, (variables, metrics) = super().discriminator_loss(state, batch, rng)
        x, _, maps = self.pair(batch)
        parts = _parts(maps)
        rows = self.generator_player.apply(state, x, parts, method="encode")
        pixels = first_pixels(parts, MOST)
        rows = jnp.take_along_axis(_flat(rows), jnp.maximum(pixels, 0)[..., None], axis=1)
        of = jnp.take_along_axis(_flat(maps["layout"]), jnp.maximum(pixels, 0), axis=1)
        of = jnp.where(pixels >= 0, of.astype(jnp.int32), -1)
        memory = recalled(state)
        table, counts = kept(
            memory["features"],
            memory["counts"],
            jax.lax.stop_gradient(rows.reshape(-1, rows.shape[-1])),
            of.reshape(-1),
        )
        return paid, (remembering(variables, {"features": table, "counts": counts}), metrics)

    def centres(self, state: State) -> Array:
        """Of the features of each class, [classes, clusters, features]; 0 of a class not seen."""
        memory = recalled(state)
        held = jnp.clip(memory["counts"], 1, self.kept)
        rows = jnp.arange(self.kept)[None] % held[:, None]  # a table that is not full, repeated
        found = jnp.take_along_axis(memory["features"], rows[..., None], axis=1)
        keys = jax.random.split(jax.random.key(0), len(found))
        return jax.vmap(lambda key, z: kmeans(key, z, self.clusters))(keys, found)

    def trained_styles(
        self, state: State, pair: Pair, rng: Array
    ) -> tuple[Array | None, Array, State]:
        """Features of x."""
        parts = _parts(pair.maps)
        z, state = self.generator_player.train(state, pair.x, parts, method="encode")
        return z, jnp.float32(0), state

    def lent_styles(self, state: State, x: Array, maps: Batch) -> Array:
        """Features of x, of the size of its layout."""
        size = maps["layout"].shape[1:3]
        if x.shape[1:3] != size:
            raise ConfigError(
                f"x of {x.shape[1]}x{x.shape[2]}, the layout of {size[0]}x{size[1]}: an example "
                "lends features where they are: expected one size"
            )
        return self.generator_player.apply(state, x, _parts(maps), method="encode")

    def drawn_styles(
        self, state: State, maps: Batch, rng: Array, num: int, temperature: Any = 1.0
    ) -> Array | None:
        """A centre for each part; `temperature` multiplies how far it is from the class's mean.

        It depends on the numbers of instance and class alone, whatever else is in the picture.
        """
        layout = _flat(maps["layout"]).astype(jnp.int32)
        number = _flat(maps.get("instances", maps["layout"])).astype(jnp.int32)

        def chosen_by(key: Array, number: Array, kind: Array) -> Array:
            key = jax.random.fold_in(jax.random.fold_in(key, number), kind)
            return jax.random.randint(key, (), 0, self.clusters)

        of_picture = jax.vmap(chosen_by, (None, 0, 0))
        chosen = jax.vmap(of_picture)(jax.random.split(rng, num), number, layout)
        centres = self.centres(state)
        middle = jnp.mean(centres, axis=1)[layout]
        z = middle + temperature * (centres[layout, chosen] - middle)
        return z.reshape(*maps["layout"].shape, -1)


def _parts(maps: Batch) -> Array:
    """Of which part each pixel is, by instance and class, or by class alone."""
    return numbered(*(maps[name] for name in ("instances", "layout") if name in maps))


def _flat(x: Array) -> Array:
    """[B, H, W, ...] -> [B, H W, ...]."""
    return x.reshape(x.shape[0], -1, *x.shape[3:])
