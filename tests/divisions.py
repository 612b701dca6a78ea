"""Files that version 0.1 divided into train and test by other rules, see `test_upgrade`."""

import json
import pathlib

import numpy as np
import PIL.Image

LAYOUTS = {
    "val": [f"{split}/{i}.png" for split in ("train", "val") for i in range(12)],
    "capitals": [f"{split}/{i}.png" for split in ("Train", "Test") for i in range(12)],
    "training": [
        f"{split}/{k}/{i}.png" for split in ("train", "testing") for k in "ab" for i in range(6)
    ],
    "shards": [f"{i // 6:05}/img{i // 6 * 1000 + i:08}.png" for i in range(12)],
    "three": [f"{i}.png" for i in (19, 26, 1)],
    "npz_val": {"x_train": 12, "x_val": 4, "y_train": 12},
    "npz_whole_and_test": {"x": 12, "x_test": 4},
    "npz_together": {"xtrain": 12, "xtest": 4, "images": 8},
}


def write(name, folder):
    """The place of one of `LAYOUTS`, written below `folder`."""
    draw = np.random.RandomState(0).randint
    what, place = LAYOUTS[name], pathlib.Path(folder) / name
    if isinstance(what, dict):
        arrays = {
            k: draw(3, size=n) if k[0] == "y" else draw(256, size=(n, 4, 4, 1)).astype(np.uint8)
            for k, n in what.items()
        }
        np.savez(place.with_suffix(".npz"), **arrays)
        return place.with_suffix(".npz")
    for file in what:
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(draw(256, size=(4, 4)).astype(np.uint8)).save(place / file)
    if name == "shards":
        (place / "dataset.json").write_text(json.dumps({"labels": [[f, 0] for f in what]}))
    return place
