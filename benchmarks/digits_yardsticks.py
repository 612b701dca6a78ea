"""What simple densities reach on the digits, in bits/dim of the test split.

    python benchmarks/digits_yardsticks.py

Independent pixels are exact probabilities (add-one smoothing); the Gaussian and the mixture see
the uniformly dequantised train split, and one draw of noise on the test split.
"""

import numpy as np
from sklearn.mixture import GaussianMixture

from jaxgen.data import load


def main():
    data = load("digits")
    train, test = (data.splits[k].take(np.arange(len(data.splits[k])))["x"] for k in data.splits)
    train, test = (x.reshape(len(x), -1).astype(int) for x in (train, test))
    levels, dims = data.spec.levels, data.spec.dims
    counts = np.stack([(train == v).sum(0) + 1 for v in range(levels)], 1)
    log_p = np.log2(counts / counts.sum(1, keepdims=True))
    print(f"nothing known            {np.log2(levels):.3f}")
    print(f"independent pixels       {-log_p[np.arange(dims), test].mean():.3f}")
    rng = np.random.RandomState(0)
    noisy = [(x + rng.random_sample(x.shape)) / levels for x in (train, test)]
    for components, floor in ((1, 1e-6), (10, 1e-3)):  # ten overfit without a floor
        model = GaussianMixture(components, reg_covar=floor, random_state=0).fit(noisy[0])
        nats = -model.score_samples(noisy[1]).mean() / dims
        print(f"Gaussians, full, {components:>2}      {nats / np.log(2) + np.log2(levels):.3f}")


if __name__ == "__main__":
    main()
