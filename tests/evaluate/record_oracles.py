"""What torch-fidelity and prdc say of random features: the numbers of `oracles.npz`.

    pip install torch==2.13.0 torchvision torch-fidelity==0.4.0 prdc==0.2 scikit-learn scipy
    python tests/evaluate/record_oracles.py [--check]

Features come from numpy's RandomState, whose stream is fixed, and are not recorded. --check
compares with what is recorded instead of writing it. Needs neither JAX nor jaxgen.
"""

from __future__ import annotations

import contextlib
import pathlib
import sys

import numpy as np

PATH = pathlib.Path(__file__).parent / "oracles.npz"
FRECHET = {"full": (1000, 700, 64), "wide": (900, 800, 256), "singular": (24, 20, 48)}
NEIGHBOURS = {"plain": (1500, 2100, 32, 3), "more": (900, 600, 64, 5)}
SUBSETS = dict(kid_subsets=20, kid_subset_size=300)
LOGIT_SCALE = {"mild": 1.0, "steep": 40.0}


def features(num_real, num_fake, dims, seed=0):
    """Correlated features, [N, D] and [M, D] float64, shifted and scaled against each other."""
    random = np.random.RandomState(seed)
    mixing = np.eye(dims) + 0.5 * random.randn(dims, dims) / np.sqrt(dims)
    real = random.randn(num_real, dims) @ mixing + 0.3
    fake = 0.9 * random.randn(num_fake, dims) @ mixing + 0.4 + 0.1 * random.randn(dims)
    return real, fake


def logits(scale, num=1003, classes=10):
    """[num, classes] float64."""
    return scale * np.random.RandomState(1).randn(num, classes)


def collapsed(num=500, dims=16):
    """Real examples, and as many copies of one of them."""
    real = np.random.RandomState(2).randn(num, dims)
    return real, np.repeat(real[:1], num, axis=0)


def frechet_values():
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    for name, sizes in FRECHET.items():
        real, fake = (dict(mu=x.mean(0), sigma=np.cov(x.T)) for x in features(*sizes))
        yield f"frechet/{name}", fid_statistics_to_metric(real, fake, False)[KEY_METRIC_FID]


def kernel_values():
    import torch
    from torch_fidelity.metric_kid import kid_features_to_metric

    options = dict(kid_kernel="poly", kid_kernel_poly_degree=3, kid_kernel_poly_coef0=1.0)
    options |= dict(kid_kernel_poly_gamma=None, rng_seed=2020, verbose=False)
    real, fake = (torch.tensor(x) for x in features(800, 800, 64))
    some = kid_features_to_metric(real, fake, **options, **SUBSETS)
    all_ = kid_features_to_metric(real, fake, **options, kid_subsets=1, kid_subset_size=800)
    yield "kernel/subsets", list(some.values())
    yield "kernel/full", list(all_.values())[0]


def score_values():
    import torch
    from torch_fidelity.metric_isc import isc_features_to_metric

    for name, scale in LOGIT_SCALE.items():
        found = isc_features_to_metric(torch.tensor(logits(scale)), 10, True, 2020)
        yield f"score/{name}", list(found.values())


def neighbour_values():
    import torch
    from prdc import compute_prdc
    from torch_fidelity.metric_prc import prc_features_to_metric

    def both(name, real, fake, k):
        with contextlib.redirect_stdout(None):
            found = compute_prdc(real, fake, k)
        order = ("precision", "recall", "density", "coverage")
        yield f"prdc/{name}", [found[key] for key in order]
        options = dict(prc_neighborhood=k, prc_batch_size=10_000, save_cpu_ram=True, verbose=False)
        found = prc_features_to_metric(torch.tensor(fake), torch.tensor(real), **options)
        yield f"prc/{name}", [found["precision"], found["recall"]]

    for name, (*sizes, k) in NEIGHBOURS.items():
        yield from both(name, *features(*sizes), k)
    yield from both("collapsed", *collapsed(), 3)


def declare_operators():
    """What importing torchvision needs where its compiled part does not load; kept by the caller.

    That is so where PyTorch is a CPU build and torchvision the wheel of PyPI.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library


def main(argv):
    kept = declare_operators()  # noqa: F841
    sources = (frechet_values, kernel_values, score_values, neighbour_values)
    values = {name: np.asarray(v, np.float64) for source in sources for name, v in source()}
    for name, value in values.items():
        print(name, value)
    if "--check" not in argv:
        np.savez(PATH, **values)
        return
    recorded = np.load(PATH)
    assert set(recorded) == set(values)
    for name in values:
        np.testing.assert_allclose(values[name], recorded[name], rtol=1e-8, err_msg=name)


if __name__ == "__main__":
    main(sys.argv[1:])
