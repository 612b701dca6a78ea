"""What StyleGAN2 adds to the game: mixed styles, path length, truncation, projection."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxgen import schedules
from jaxgen.methods.adversarial import Adversarial
from jaxgen.methods.memory import MEMORY, recalled, remembering
from jaxgen.methods.player import Player
from jaxgen.methods.styles import Styles
from jaxgen.nn.stylegan import of_affine_maps
from jaxgen.ops.ranges import real_levels
from jaxgen.schedules import Scheduled
from jaxgen.types import Array, Batch, Given, Metrics, Params, State, Turn, Vars

PATH_DECAY = 0.99  # of the mean path length
STATISTICS = 10_000  # draws of w for the mean and deviation of a projection


@dataclasses.dataclass(frozen=True)
class StyleGAN2(Adversarial):
    """The game with styles; see `Adversarial`. The generator is `models.gans.stylegan2.Generator`.

    The generator moves first, then its path-length turn, the discriminator, and its lazy
    penalties: the official order.

    Source: Karras et al. 2019, StyleGAN, section 3.1; Karras et al. 2020, StyleGAN2, section 3.2
    and appendix B; NVlabs/stylegan2-ada-pytorch, `training/loss.py`.

    Attributes:
        mixing: probability that a batch has the styles of two z.
        path_weight: of the path-length penalty; 0 for none.
        path_every: steps between its turns.
        path_shrink: divides the batch of such a turn.
    """

    mixing: float = 0.9
    path_weight: Scheduled = 2.0
    path_every: int = 4
    path_shrink: int = 2

    @property
    def turns(self) -> Sequence[Turn]:
        """Generator, path length, discriminator, its lazy penalties."""
        discriminator, *penalties, generator = super().turns
        path = []
        if self.path_weight:
            path = [Turn("generator", self.path_loss, every=self.path_every, name="path")]
        return (generator, *path, discriminator, *penalties)

    @property
    def source(self) -> Styles:
        """The generator, with mixed styles."""
        player = Player("generator", self.generator)
        return Styles(player, self.spec.shape, self.prior, self.mixing)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Both players, and the mean path length, of 0."""
        params, variables = super().init(rng, batch)
        if self.path_weight:
            kept = variables.get(MEMORY, {})
            variables = remembering(variables, {**kept, "path_mean": jnp.float32(0)})
        return params, variables

    def path_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """Squared distance of ||J^T y|| from its mean, y normal; times the steps between turns.

        J is the Jacobian of the image by w; the mean over layers stands for the one w of the
        paper's equation 4. The mean path length moves before the penalty is taken, and has a
        gradient, as in the official code.
        """
        keys = jax.random.split(rng, 3)
        num = max(len(batch["x"]) // self.path_shrink, 1)
        cond = self.condition({k: v[:num] for k, v in batch.items()})
        styles, state = self.source.mixed(state, keys[0], num, cond)
        lengths = self.path_lengths(state, styles, keys[1], keys[2])
        memory = recalled(state)
        mean = PATH_DECAY * memory["path_mean"] + (1 - PATH_DECAY) * jnp.mean(lengths)
        penalty = jnp.mean(jnp.square(lengths - mean))
        memory = {**memory, "path_mean": jax.lax.stop_gradient(mean)}
        shown = {"penalty": penalty, "length": jnp.mean(lengths)}
        loss = self.path_every * schedules.value(self.path_weight, state.step) * penalty
        return loss, (remembering(state.vars, memory), shown)

    def path_lengths(self, state: State, styles: Array, noise: Array, rng: Array) -> Array:
        """[num]: the norm of J^T y of each example, y normal over the root of the pixels.

        Args:
            state: of both players.
            styles: [num, L, style].
            noise: key of the synthesis.
            rng: key of y.
        """
        pixels = self.spec.shape[0] * self.spec.shape[1]
        y = jax.random.normal(rng, self.source.size(len(styles))) / jnp.sqrt(jnp.float32(pixels))

        def along(styles: Array) -> Array:
            return jnp.sum(self.source.synthesize(state, styles, noise) * y)

        slope = jax.grad(along)(styles)
        return jnp.sqrt(jnp.mean(jnp.sum(jnp.square(slope), axis=2), axis=1))

    def sample(
        self,
        state: State,
        rng: Array,
        num: int,
        given: Given = None,
        truncation: float = 1.0,
        cutoff: int | None = None,
        noise: str = "const",
    ) -> Array:
        """Draws z, then data, in their units.

        Args:
            state: of both players.
            rng: a key.
            num: number of samples.
            given: field -> values of all samples, or [num, ...]; classes that are not given are
                drawn evenly.
            truncation: psi: w is brought towards its mean, to this share of the distance (Karras
                et al. 2019, appendix B).
            cutoff: layers that are truncated, from the coarsest on; None truncates all.
            noise: "const", "random" or "none".
        """
        w, noisy = self._drawn(state, rng, num, given)
        styles = self.truncated(state, self.source.spread(w), truncation, cutoff)
        return self.unscaled(self.source.synthesize(state, styles, noisy, noise))

    def sample_styles(
        self, state: State, rng: Array, num: int, truncation: Array, given: Given = None
    ) -> Array:
        """w [num, style] of what `sample` draws with this key, truncated in all layers."""
        w, _ = self._drawn(state, rng, num, given)
        return self.truncated(state, w[:, None], truncation, None)[:, 0]

    def _drawn(self, state: State, rng: Array, num: int, given: Given) -> tuple[Array, Array]:
        """w of draws, and the key of their noise."""
        latent, classes, noisy = jax.random.split(rng, 3)
        cond = self.givens.of_call(given, num, classes)
        return self.source.map(state, self.latents(latent, num), cond), noisy

    def truncated(self, state: State, styles: Array, psi: Any, cutoff: int | None) -> Array:
        """Styles [num, L, style] at psi of their distance from the mean, in the first layers."""
        mean = self.middle(state).reshape(1, 1, -1)
        near = mean + psi * (styles - mean)
        if cutoff is None:
            return near
        return jnp.where(jnp.arange(styles.shape[1]).reshape(1, -1, 1) < cutoff, near, styles)

    def middle(self, state: State) -> Array:
        """[style], the running mean of w."""
        return state.vars["generator"]["moments"]["mapping"]["mean"]

    def styles_of(self, state: State, z: Array, given: Given = None) -> Array:
        """w [B, style] of z [B, latent], not truncated; `given` as of `decode`."""
        return self.source.map(state, z, self.givens.of_call(given, z.shape[0], first=True))

    def render(self, state: State, w: Array, rounded: bool = True) -> Array:
        """w [B, style] of all layers to data, in their units; real levels unless `rounded`."""
        x = self.source.synthesize(state, self.source.spread(w), jax.random.key(0), "const")
        return self.unscaled(x) if rounded else real_levels(x, self.spec.levels)

    def style_weights(self, state: State) -> Array:
        """[channels, style]: the affine maps from w to the styles of all layers."""
        leaves = jax.tree_util.tree_leaves_with_path(state.params["generator"])
        names = [([part.key for part in path], leaf) for path, leaf in leaves]
        return jnp.concatenate(
            [leaf.T for path, leaf in names if path[-2:] == ["affine", "kernel"]]
        )

    def channels_of(self, state: State, w: Array) -> Array:
        """[B, channels]: the styles of all layers, which affine maps make of w [B, style]."""
        noted: list[Array] = []

        def note(y: Array) -> Array:
            noted.append(y)
            return y

        with of_affine_maps(note):
            self.render(state, w, rounded=False)
        return jnp.concatenate(noted, axis=1)

    def render_channels(self, state: State, channels: Array, rounded: bool = True) -> Array:
        """Data as of `render`, of layers with styles [B, channels]; noise is that of `render`."""
        start = 0

        def put(y: Array) -> Array:
            nonlocal start
            start, first = start + y.shape[1], start
            return channels[:, first:start].astype(y.dtype)

        w = jnp.zeros((channels.shape[0], self.middle(state).shape[0]))
        with of_affine_maps(put):
            return self.render(state, w, rounded)

    def mix(
        self,
        state: State,
        rng: Array,
        rows: int,
        columns: int,
        coarse: int,
        given: Given = None,
        angle: Array | float = 0.0,
    ) -> Array:
        """[rows * columns, ...] data: the first `coarse` layers' styles are of the row.

        The latents of columns move on great circles, by the angle. All have the one value of each
        field in `given`; a class that is not given is the first.

        Source: Karras et al. 2019, figure 3.
        """
        keys = jax.random.split(rng)
        first, east = (self.latents(k, n) for k, n in zip(keys, (rows, columns), strict=True))
        north = self.latents(jax.random.fold_in(keys[1], 1), columns)
        of_row, of_column = (
            self.source.spread(self.styles_of(state, z, given))
            for z in (first, jnp.cos(angle) * east + jnp.sin(angle) * north)
        )
        of_row = jnp.repeat(of_row, columns, axis=0)
        of_column = jnp.tile(of_column, (rows, 1, 1))
        shared = jnp.arange(of_row.shape[1]).reshape(1, -1, 1) < coarse
        styles = jnp.where(shared, of_row, of_column)
        return self.unscaled(self.source.synthesize(state, styles, keys[0], "const"))

    def project(
        self,
        state: State,
        x: Array,
        rng: Array,
        steps: int = 400,
        rate: float = 0.1,
        tell: Callable[[Any], None] | None = None,
    ) -> tuple[Array, Array, Array]:
        """Looks for the w of images, by Adam from the mean of w.

        The distance is the mean squared error of pixels: the official code's LPIPS needs weights
        that jaxgen does not have. Noise on w falls to zero over the first three quarters, the
        rate rises over a twentieth and falls over the last quarter, as there.

        Args:
            state: of both players.
            x: [B, H, W, C], in the units of the data.
            rng: a key.
            steps: of Adam.
            rate: its highest.
            tell: is given the number of every step when it begins, None for silence.

        Returns:
            w [B, style], the distance at every step [steps], and the images found, in units.
        """
        draws, start = jax.random.split(rng)
        cond = self.givens.of_call(None, STATISTICS, first=True)
        w = self.source.map(state, self.latents(draws, STATISTICS), cond)
        mean, deviation = jnp.mean(w, axis=0), jnp.sqrt(jnp.mean(jnp.var(w, axis=0)))
        target = self.scaled(x)
        adam = optax.scale_by_adam()

        def image(w: Array) -> Array:
            return self.source.synthesize(state, self.source.spread(w), start, "const")

        def distance(w: Array) -> tuple[Array, Array]:
            each = jnp.mean(jnp.square(image(w) - target), axis=(1, 2, 3))
            return jnp.sum(each), jnp.mean(each)

        def body(carry: Any, i: Array) -> Any:
            w, memory = carry
            if tell is not None:
                jax.debug.callback(tell, i)
            t = i / steps
            noise = 0.05 * deviation * jnp.square(jnp.maximum(0.0, 1 - t / 0.75))
            shaken = w + noise * jax.random.normal(jax.random.fold_in(start, i), w.shape)
            slope, value = jax.grad(distance, has_aux=True)(shaken)
            moved: Any = adam.update(slope, memory)
            update, memory = moved
            down = 0.5 - 0.5 * jnp.cos(jnp.pi * jnp.minimum(1.0, (1 - t) / 0.25))
            return (w - rate * jnp.minimum(1.0, t / 0.05) * down * update, memory), value

        first = jnp.broadcast_to(mean[None], (len(x), len(mean)))
        (w, _), values = jax.lax.scan(body, (first, adam.init(first)), jnp.arange(steps))
        return w, values, self.unscaled(image(w))
