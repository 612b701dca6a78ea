"""Whether details stick to pixels: a column of pixels over frames, of two generators or more.

    python benchmarks/texture_sticking.py RUN [RUN ...] --out=sticking.png [--seed=0] [--frames=128]

RUN has styles, as those of configs/stylegan2.py and configs/stylegan3.py. For each run a row of
panels: the mean image of a small closed walk around one latent; a column through its middle over
the frames of that walk, time to the right: details that stick to pixels draw lines along time,
those that move with what they are part of draw none; and, where the network can move what is in an
image, the middle row over shifts of up to an eighth of the image either way, downwards, in which
all that follows the shift lies along one slant. After Karras et al. 2021, Alias-free generative
adversarial networks (NeurIPS), section 1. Nothing is measured here: for numbers `jaxgen eval RUN
--metrics=equivariance`.
"""

import argparse
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from jaxgen.abilities import Latents, Moves, Styles, given
from jaxgen.config import ConfigError
from jaxgen.ops.equivariance import translation
from jaxgen.pictures import save_png, stacked, to_uint8

NEAR = 0.25  # of the walk: the angle between its latents and the one it is around
FAR = 1 / 8  # of the image, either way
HEIGHT = 256  # pixels of a panel
BATCH = 16


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=128)
    arguments = parser.parse_args()
    rows = []
    for path in arguments.runs:
        run = jaxgen.load(path)
        rows.append(row(run, arguments.seed, arguments.frames))
        print(f"{path}: step {run.step}", flush=True)
    picture = rows[0]
    for other in rows[1:]:
        picture = stacked(picture, other)
    save_png(arguments.out, picture)


def row(run, seed, frames):
    """The panels of a run side by side, [HEIGHT, W, 3] uint8."""
    shown = [enlarged(colours(run, panel)) for panel in panels(run, seed, frames)]
    height = max(len(panel) for panel in shown) + 4
    sides = [((4, height - len(p)), (4, 4), (0, 0)) for p in shown]
    white = {"constant_values": 255}
    return np.concatenate([np.pad(p, s, **white) for p, s in zip(shown, sides, strict=True)], 1)


def panels(run, seed, frames):
    """[H, W, C] each, in the units of the data: mean, column over the walk, row over shifts."""
    method, state = run.method, run.state.averaged()
    if not isinstance(method, Styles) or not isinstance(method, Latents):
        raise ConfigError(f"{type(method).__name__} has no styles: take a run of StyleGAN2 or 3")
    told = {"given": {"label": 0}} if "label" in given(method) else {}
    middle, east, north = method.latents(jax.random.key(seed), 3)
    angles = jnp.arange(frames) * 2 * math.pi / frames
    around = jnp.cos(angles)[:, None] * east[None] + jnp.sin(angles)[:, None] * north[None]
    z = math.cos(NEAR) * middle[None] + math.sin(NEAR) * around

    @jax.jit
    def walked(z):
        return method.render(state, method.styles_of(state, z, **told), rounded=False)

    images = batched(walked, z)
    found = [images.mean(0), strip(images)]
    if isinstance(method, Moves):
        w = jax.jit(lambda z: method.styles_of(state, z, **told))(middle[None])
        shift = jax.jit(lambda t: method.moved(state, w, t, rounded=False)[0])
        moves = [translation(x, 0.0).astype(np.float32) for x in np.linspace(-FAR, FAR, frames)]
        moved = np.stack([np.asarray(shift(m)) for m in moves])
        found.append(moved[:, moved.shape[1] // 2])
    return found


def batched(call, z):
    """Images of latents [N, D], a few at a time; N is filled up, so that one program serves all."""
    parts = []
    for start in range(0, len(z), BATCH):
        part = z[start : start + BATCH]
        full = jnp.concatenate([part, jnp.repeat(part[-1:], BATCH - len(part), 0)])
        parts.append(np.asarray(call(full))[: len(part)])
    return np.concatenate(parts)


def strip(images):
    """The middle column of each frame [T, H, W, C], time to the right: [H, T, C]."""
    return images[:, :, images.shape[2] // 2].swapaxes(0, 1)


def colours(run, panel):
    """[H, W, 3] uint8."""
    x = to_uint8(panel[None], run.spec.levels, run.spec.x.range)[0]
    return np.repeat(x[..., :1], 3, -1) if x.shape[-1] < 3 else x[..., :3]


def enlarged(panel):
    """By a whole factor, to a height of `HEIGHT` or less."""
    times = max(1, HEIGHT // panel.shape[0])
    return panel.repeat(times, 0).repeat(times, 1)


if __name__ == "__main__":
    main()
