"""StyleGAN3 against the official modules, with the same random weights.

    git clone https://github.com/NVlabs/stylegan3 DIR
    python tests/parity/stylegan3.py DIR

Prints, of configurations T and R at 64x64, the largest difference of filters, of the waves at four
transforms, of images, of a run that was imported, of magnitudes after three steps and of the slope
of images by w; then of images that the metrics of equivariance move, whose masks are equal. Exits
with 1 if one is above its limit, or if the official pickle is not read exactly. Needs PyTorch, on
CPU. The official code is not ours to copy: it is imported from DIR.
"""

from __future__ import annotations

import pathlib
import sys

LIMITS = {"filters": 1e-7, "waves": 1e-5}
LIMIT = 1e-4
BATCH, SIDE, COLOURS, LATENT = 2, 64, 3, 16
WIDTHS = {False: {"base": 2048, "most": 64}, True: {"base": 2048, "most": 64}}


def variables(module):
    """Ours of the official generator."""
    from stylegan2 import arrays

    from jaxgen.weights.stylegan import generator_params, generator_vars

    return {"params": generator_params(arrays(module)), **generator_vars(arrays(module))}


def official(networks, rotations, classes):
    """The generator of a configuration, with noise on what begins at a constant."""
    import torch
    from stylegan2 import shaken

    torch.manual_seed(7)
    widths = WIDTHS[rotations]
    more = {"conv_kernel": 1, "use_radial_filters": True} if rotations else {}
    made = networks.Generator(
        LATENT,
        classes,
        LATENT,
        SIDE,
        COLOURS,
        channel_base=widths["base"],
        channel_max=widths["most"],
        **more,
    )
    return shaken(made, torch).eval()


def filters(theirs, planned, rotations):
    """The largest difference of the taps of all layers."""
    import numpy as np

    from jaxgen.ops.lowpass import lowpass, radial_lowpass

    worst = 0.0
    for i, name in enumerate(theirs.synthesis.layer_names[:-1]):
        layer = getattr(theirs.synthesis, name)
        before, after = planned[max(i - 1, 0)], planned[i]
        rate = 2 * max(before.rate, after.rate)
        radial = rotations and i < len(planned) - 3
        for factor, signal, reference, round_ in (
            (rate // before.rate, before, layer.up_filter, False),
            (rate // after.rate, after, layer.down_filter, radial),
        ):
            if reference is None:
                continue
            make = radial_lowpass if round_ else lowpass
            found = make(6 * factor, signal.cutoff, signal.half_width, rate)
            worst = max(worst, float(np.abs(np.asarray(found) - reference.numpy()).max()))
    return worst


def imported(theirs, styles):
    """Images of a run that was imported from the official pickle."""
    import pickle
    import tempfile

    import jaxgen
    from jaxgen.tools.import_stylegan2 import import_pickle

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "network.pkl")
        path.write_bytes(pickle.dumps({"G_ema": theirs}))
        run = jaxgen.load(import_pickle(path, f"{folder}/run").path)
        return run.method.render(run.state.replace(params=run.state.ema), styles, rounded=False)


def compare(networks, rotations, classes):
    """Name -> largest difference."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import torch
    from stylegan2 import pickled

    from jaxgen.models.gans.stylegan3 import Generator, Waves, signals

    theirs, widths = official(networks, rotations, classes), WIDTHS[rotations]
    if not pickled(theirs):
        sys.exit("the official pickle is not read as it was written")
    ours = Generator(LATENT, LATENT, rotations=rotations, **widths)
    planned = signals(SIDE, COLOURS, 14, 2, 10, widths["base"], widths["most"])
    found, size = {}, (BATCH, SIDE, SIDE, COLOURS)

    def note(name, mine, reference):
        reference = reference.detach().numpy()
        scale = max(1.0, float(np.abs(reference).max()))
        found[name] = float(np.abs(np.asarray(mine) - reference).max()) / scale

    found["filters"] = filters(theirs, planned, rotations)
    z = torch.randn(BATCH, LATENT)
    c = torch.eye(classes)[torch.arange(BATCH) % classes] if classes else torch.zeros(BATCH, 0)
    cond = jnp.asarray(c.numpy()) if classes else None
    mapped = ours.apply(variables(theirs), jnp.asarray(z.numpy()), cond, method="map")
    note("w", mapped, theirs.mapping(z, c)[:, 0])
    styles = torch.randn(BATCH, 16, LATENT)
    images = jax.jit(
        lambda v, s, **more: ours.apply(v, s, size, method="synthesize", **more),
        static_argnames="mutable",
    )
    held, mine = variables(theirs), jnp.asarray(styles.numpy())
    turn = np.array([[0.8, 0.6, 0.1], [-0.6, 0.8, 0.05], [0, 0, 1]], np.float32)
    for name, transform in (
        ("as it is", np.eye(3, dtype=np.float32)),
        ("shifted", np.array([[1, 0, 0.1], [0, 1, -0.2], [0, 0, 1]], np.float32)),
        ("turned", turn),
        ("smaller", np.diag([1.4, 1.4, 1]).astype(np.float32)),
    ):
        theirs.synthesis.input.transform.copy_(torch.from_numpy(transform))
        every = jnp.broadcast_to(jnp.asarray(transform)[None], (BATCH, 3, 3))
        own = {k: held[k].get("synthesis", {}).get("waves", {}) for k in ("params", "constants")}
        made = Waves(planned[0]).apply(own, mine[:, 0], every)
        note(f"waves, {name}", made, theirs.synthesis.input(styles[:, 0]).permute(0, 2, 3, 1))
        reference = theirs.synthesis(styles).permute(0, 2, 3, 1)
        note(f"images, {name}", images(held, mine, transforms=every), reference)
    theirs.synthesis.input.transform.copy_(torch.eye(3))
    one = styles[:, :1].expand(-1, 16, -1)
    made = imported(theirs, jnp.asarray(one[:, 0].numpy())) / 127.5 - 1
    note("images of the run", made, theirs.synthesis(one).permute(0, 2, 3, 1))
    w = styles.clone().requires_grad_(True)
    (reference,) = torch.autograd.grad(theirs.synthesis(w).square().sum(), w)
    slope = jax.jit(jax.grad(lambda s: jnp.sum(jnp.square(images(held, s)))))(mine)
    note("slope of images by w", slope, reference)
    for _ in range(3):
        theirs.synthesis(styles, update_emas=True)
        moved = images(held, mine, mutable=("moments",))[1]["moments"]
        held = {**held, "moments": {**held["moments"], **moved}}
    magnitudes = [
        getattr(theirs.synthesis, name).magnitude_ema for name in theirs.synthesis.layer_names
    ]
    layers = held["moments"]["synthesis"]
    note(
        "magnitudes",
        [layers[f"layer{i}"]["magnitude"] for i in range(15)],
        torch.stack(magnitudes),
    )
    return found


def moved():
    """Name of a move -> largest difference of moved images under the masks."""
    import numpy as np
    import torch
    from metrics import equivariance as theirs

    from jaxgen.ops import equivariance as ours

    x = np.random.RandomState(0).randn(2, SIDE, SIDE, 3)
    images = torch.tensor(x, dtype=torch.float32).permute(0, 3, 1, 2)
    pairs = {
        "shifted": (
            ours.shifted(x, 3, -5),
            theirs.apply_integer_translation(images, 3 / SIDE, -5 / SIDE),
        ),
        "shifted between": (
            ours.shifted_between(x, 3.3, -5.7),
            theirs.apply_fractional_translation(images, 3.3 / SIDE, -5.7 / SIDE),
        ),
        "turned": (ours.turned(x, -2.2), theirs.apply_fractional_rotation(images, -2.2)),
        "filtered": (
            ours.filtered_as_turned(x, -2.2),
            theirs.apply_fractional_pseudo_rotation(images, -2.2),
        ),
    }
    found = {}
    for name, ((image, mask), (reference, where)) in pairs.items():
        if not np.array_equal(mask > 0, where[0, 0].numpy() > 0):
            sys.exit(f"{name}: another mask than the official one")
        apart = np.abs(image - reference.permute(0, 2, 3, 1).numpy())
        found[name] = float(apart[:, mask > 0].max())
    return found


def main(path):
    sys.path.insert(0, str(path))
    from training import networks_stylegan3 as networks

    failed = False
    for name, difference in moved().items():
        failed |= difference > LIMIT
        print(f"{name:36} {difference:.1e} of {LIMIT:.0e}")
    for rotations, classes in ((False, 0), (False, 3), (True, 0)):
        for name, difference in compare(networks, rotations, classes).items():
            limit = LIMITS.get(name.split(",")[0], LIMIT)
            failed |= difference > limit
            print(f"{'TR'[rotations]} {classes} classes  {name:24} {difference:.1e} of {limit:.0e}")
    return failed


if __name__ == "__main__":
    if len(sys.argv) != 2 or not pathlib.Path(sys.argv[1], "training", "loss.py").exists():
        sys.exit(__doc__)
    sys.exit(main(pathlib.Path(sys.argv[1])))
