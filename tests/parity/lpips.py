"""LPIPS against the package of its authors: its weights of channels, random ones of the trunk.

    pip install torch torchvision lpips
    python tests/parity/lpips.py [--record]

Prints the largest difference of the distances of four pairs; exits with 1 if it is above 1e-6.
`--record` writes tests/nn/lpips.npz.
"""

from __future__ import annotations

import pathlib
import sys
import tempfile

import numpy as np

sys.path = [
    p for p in sys.path if pathlib.Path(p or ".").resolve() != pathlib.Path(__file__).parent
]
HERE = pathlib.Path(__file__).parents[1] / "nn"
sys.path.insert(0, str(HERE))
LIMIT = 1e-6


def main(record):
    """Compares."""
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import lpips
    from vgg_weights import pairs, random_trunk

    from jaxgen.data import torch_file
    from jaxgen.evaluate.extractors.lpips_vgg import PerceptualFeatures, params_of
    from jaxgen.types import DataSpec

    theirs = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).eval()
    trunk = random_trunk()
    own = {f"features.{k.split('.', 1)[1]}": v for k, v in theirs.net.state_dict().items()}
    if {k: tuple(v.shape) for k, v in own.items()} != {k: v.shape for k, v in trunk.items()}:
        raise SystemExit("the trunk has other layers than expected")
    with torch.no_grad():
        for name, value in theirs.net.named_parameters():
            value.copy_(torch.from_numpy(trunk[f"features.{name.split('.', 1)[1]}"]))
    x, y = pairs()
    with torch.no_grad():
        tensors = (torch.from_numpy(v.transpose(0, 3, 1, 2).copy()) for v in (x, y))
        expected = theirs(*tensors).numpy().ravel()
    heads = torch_file.read(pathlib.Path(lpips.__file__).parent / "weights" / "v0.1" / "vgg.pth")
    with tempfile.TemporaryDirectory() as place:
        torch.save({k: torch.from_numpy(v) for k, v in trunk.items()}, f"{place}/vgg.pth")
        trunk = torch_file.read(f"{place}/vgg.pth")
    spec = DataSpec.of("pairs", (32, 32, 3), 256)
    ours = PerceptualFeatures(spec, params_of(trunk, heads), "").distance(x, y)
    off = float(np.abs(ours - expected).max())
    print(f"distances {', '.join(f'{v:.6f}' for v in expected)}; largest difference {off:.1e}")
    if record:
        np.savez_compressed(HERE / "lpips.npz", distance=expected, **heads)
    return 0 if off <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main("--record" in sys.argv[1:]))
