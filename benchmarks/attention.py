"""Where a trained BigGAN or SAGAN looks: weights of its generator's attention, over its samples.

    python benchmarks/attention.py RUN --out=attention.png [--num=8] [--places=2,3:5,3]

A row for each sample: the sample, and for each place (row, column, from the upper left, in pixels
of the attended level) the weights of the positions that it takes its values from, doubled to the
image; the place is marked. White is the largest weight of a picture. Prints the entropy of the
weights over that of evenly spread ones, and the gate of the layer, which is 0 at first.
"""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from jaxgen.nn.gan_layers import largest
from jaxgen.pictures import grid, save_png, to_uint8


def weights(run: Any, num: int, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """(samples [B, H, W, C] in -1 .. 1, weights [B, h, w, h / 2, w / 2], gate).

    Raises:
        SystemExit: for a generator without attention.
    """
    method, state = run.method, run.state.averaged()
    generator, shape = method.generator, (num, *run.spec.shape)
    key, classes = jax.random.split(jax.random.key(seed))
    cond = method.givens.of_call(None, num, classes)
    z = method.latents(key, num)
    variables = {"params": state.params["generator"], **state.vars["generator"]}
    x, found = generator.apply(
        variables,
        z,
        shape,
        cond,
        capture_intermediates=lambda module, _: module.name in ("query", "key"),
        mutable=["intermediates"],
    )
    layers = [v for k, v in found["intermediates"].items() if k == "attention"]
    if not layers:
        raise SystemExit("this generator has no attention")
    query, key = (layers[0][name]["__call__"][0] for name in ("query", "key"))
    key = largest(key)
    logits = jnp.einsum("bhwc,bkjc->bhwkj", query, key)
    flat = jax.nn.softmax(logits.reshape(*logits.shape[:3], -1), axis=-1)
    gate = float(variables["params"]["attention"]["gamma"])
    return np.asarray(x), np.asarray(flat.reshape(logits.shape)), gate


def pictures(x: np.ndarray, found: np.ndarray, places: list[tuple[int, int]]) -> np.ndarray:
    """Rows of a sample and its maps, [N, H, W, 3] of 0 .. 1."""
    shown = np.broadcast_to(x / 2 + 0.5, (*x.shape[:3], 3)).copy()
    rows = []
    for image, own in zip(shown, found, strict=True):
        rows.append(image)
        for i, j in places:
            one = own[i, j] / own[i, j].max()
            scale = image.shape[0] // one.shape[0]
            tile = np.repeat(np.kron(one, np.ones((scale, scale)))[..., None], 3, axis=-1)
            side = image.shape[0] // own.shape[0]
            tile[i * side : (i + 1) * side, j * side : (j + 1) * side] = (1.0, 0.3, 0.1)
            rows.append(tile)
    return np.stack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("attention.png"))
    parser.add_argument("--num", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--places", default="1,3:3,3:5,4:7,7")
    arguments = parser.parse_args()
    places = [tuple(map(int, place.split(","))) for place in arguments.places.split(":")]
    x, found, gate = weights(jaxgen.load(arguments.run), arguments.num, arguments.seed)
    rows = pictures(x, found, places)
    save_png(arguments.out, grid(to_uint8(rows, levels=None), columns=1 + len(places)))
    flat = found.reshape(*found.shape[:3], -1)
    entropy = -(flat * np.log(np.maximum(flat, 1e-30))).sum(-1).mean() / np.log(flat.shape[-1])
    print(f"entropy {entropy:.3f} of an even spread, gate {gate:.4f}: {arguments.out}")


if __name__ == "__main__":
    main()
