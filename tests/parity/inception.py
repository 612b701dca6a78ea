"""The Inception network and its resizing against torch-fidelity, with the same random weights.

    pip install torch torchvision torch-fidelity
    python tests/parity/inception.py [--record]

Prints the largest difference of every tap and of the resized images, and whether the network with
one thing wrong would have been noticed; exits with 1 if a tap is off by more than 1e-4, an image by
more than 1e-4 grey levels, or a wrong one passes. `--record` writes tests/nn/inception.npz.
"""

from __future__ import annotations

import importlib
import pathlib
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).parents[1] / "nn"
sys.path.insert(0, str(HERE))
LIMIT = 1e-4
SIZES = ((8, 8), (28, 28), (32, 32), (64, 64), (299, 299), (512, 300))
TAPS = ("64", "192", "768", "2048", "logits_unbiased", "logits")


def fidelity():
    """torch-fidelity's modules, on a torchvision whose compiled part does not load."""
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    network = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    resize = importlib.import_module("torch_fidelity.interpolate_compat_tensorflow")
    return torch, network, resize.interpolate_bilinear_2d_like_tensorflow1x, library


def untrained(module):
    """The names and shapes of the official weights."""
    kind, load = module.FeatureExtractorInceptionV3, module.load_state_dict_from_url
    own = kind.load_state_dict
    module.load_state_dict_from_url = lambda *_, **__: {}
    kind.load_state_dict = lambda *_, **__: None
    try:
        return kind("x", ["2048"]).state_dict()
    finally:
        module.load_state_dict_from_url, kind.load_state_dict = load, own


def main(record):
    """Compares."""
    import jax
    import jax.numpy as jnp
    from inception_weights import images, random_weights

    from jaxgen.data import torch_file
    from jaxgen.evaluate.extractors.inception import _apply, params_of
    from jaxgen.nn import inception as ours
    from jaxgen.ops.resize import tf1_bilinear

    torch, module, resize, _library = fidelity()
    state = untrained(module)
    values = random_weights({name: tuple(value.shape) for name, value in state.items()})
    tensors = {name: torch.from_numpy(value.copy()) for name, value in values.items()}
    with tempfile.TemporaryDirectory() as place:
        same = True
        for zipped in (True, False):
            path = pathlib.Path(place, f"{zipped}.pth")
            torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
            found = torch_file.read(path)
            same &= all(np.array_equal(found[name], value) for name, value in values.items())
        network = module.FeatureExtractorInceptionV3(
            "x", list(TAPS), feature_extractor_weights_path=str(path)
        )
    x = images()
    with torch.no_grad():
        theirs = network(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    theirs = dict(zip(TAPS, (value.numpy() for value in theirs), strict=True))
    params = params_of(found)
    mine = _apply("inception", params, x)
    worst = {tap: float(np.abs(np.asarray(mine[tap]) - theirs[tap]).max()) for tap in TAPS}
    for tap, value in worst.items():
        print(f"{tap}: {value:.1e} of {np.abs(theirs[tap]).max():.2f}")
    off = 0.0
    for size in SIZES:
        y = np.random.RandomState(0).randint(256, size=(2, *size, 3)).astype(np.float32)
        expected = resize(
            torch.from_numpy(y.transpose(0, 3, 1, 2)), (299, 299), align_corners=False
        )
        found = np.asarray(tf1_bilinear(jnp.asarray(y), (299, 299)))
        off = max(off, float(np.abs(found - expected.numpy().transpose(0, 2, 3, 1)).max()))
    print(f"resized images: {off:.1e} grey levels")
    print(f"official files read exactly: {same}")

    def relative(wrong):
        return float(np.linalg.norm(wrong - theirs["2048"]) / np.linalg.norm(theirs["2048"]))

    resized = tf1_bilinear(jnp.asarray(x, jnp.float32), (299, 299))
    half = jax.image.resize(x.astype(np.float32), resized.shape, "bilinear", antialias=False)
    inputs = {"scaled by 255": 2 * resized / 255 - 1, "half a pixel off": (half - 128) / 128}
    wrong = {
        name: relative(jax.jit(ours.Inception().apply)({"params": params}, value)["2048"])
        for name, value in inputs.items()
    }
    right, ours.mean_pool = ours.mean_pool, lambda x: ours.nn.avg_pool(x, (3, 3), (1, 1), "SAME")
    wrong["pools with padding"] = relative(
        jax.jit(lambda x: ours.Inception().apply({"params": params}, x))((resized - 128) / 128)[
            "2048"
        ]
    )
    ours.mean_pool = right
    for name, value in wrong.items():
        print(f"wrong on purpose, {name}: {value:.1e} relative")
    if record:
        np.savez_compressed(HERE / "inception.npz", **{tap: theirs[tap][:2] for tap in TAPS})
    good = max(worst.values()) <= LIMIT and off <= LIMIT and same and min(wrong.values()) > 1e-3
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main("--record" in sys.argv[1:]))
