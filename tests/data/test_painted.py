"""Layouts: folders of images and maps, what is wrong with them, and the embedded streets."""

import numpy as np
import PIL.Image
import pytest
from scipy import ndimage

import jaxgen.data
from jaxgen.data import DataError
from jaxgen.data.embedded import layouts
from jaxgen.data.images import Geometry


@pytest.fixture
def root(tmp_path, write):
    """Five images 12x16 with layouts of four classes, of a palette or grey, and instances."""
    place = tmp_path / "streets"
    for i in range(5):
        write(place / "images" / f"{i}.jpg", (12, 16, 3), i)
        numbers = write(place / "layouts" / f"{i}.png", (12, 16, 1), i)[..., 0] % 4
        image = PIL.Image.fromarray(numbers)
        if i % 2:
            image = image.convert("P")
            image.putpalette([9, 8, 7] * 256)
            image.putdata(list(map(int, numbers.ravel())))
        image.save(place / "layouts" / f"{i}.png")
        ids = np.arange(12 * 16).reshape(12, 16).astype(np.int32) * 300
        PIL.Image.fromarray(ids.astype(np.uint16)).save(_made(place / "instances") / f"{i}.png")
    return place


def _made(folder):
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("in_memory_mb", [0, 512])
def test_pairs_by_name(root, in_memory_mb):
    data = jaxgen.data.load(f"layouts:{root}", in_memory_mb=in_memory_mb)
    assert set(data.spec.fields) == {"x", "layout", "instances"}
    assert data.spec.fields["layout"].classes == 4 and data.spec.num_classes == 0
    seen = []
    for split in data.splits.values():
        batch = split.take(np.arange(len(split)))
        for x, layout, ids in zip(batch["x"], batch["layout"], batch["instances"], strict=True):
            (number,) = (
                i
                for i in range(5)
                if (np.asarray(PIL.Image.open(root / f"images/{i}.jpg")) == x).all()
            )
            wanted = np.random.RandomState(number).randint(256, size=(12, 16)) % 4
            np.testing.assert_array_equal(layout, wanted)
            assert ids[1, 2] == 18 * 300
            seen.append(number)
    assert sorted(seen) == list(range(5))


WRONG = {
    "layouts/3.png": (None, r"images/3.jpg has no partner in layouts/ of the same name \(1 such\)"),
    "images/3.jpg": (None, "layouts/3.png has no partner in images/"),
    "instances/0.png": (None, "images/0.jpg has no partner in instances/"),
    "layouts/2.bmp": ((12, 16), "has both layouts/2.bmp and layouts/2.png: one name, one file"),
    "layouts/1.png": ((12, 15), r"layouts/1.png is 12x15 and its image 12x16"),
    "layouts/0.png": (
        (12, 16, 3),
        "layouts/0.png: the colour 7, 7, 7 in row 0, .* of no class",
    ),
    "classes.txt": ("road\nsky\n", r"has class 3 and classes.txt names 2, 0 to 1: add a line"),
}


@pytest.mark.parametrize("file", WRONG)
def test_what_is_wrong_is_named(root, file):
    change, message = WRONG[file]
    if change is None:
        (root / file).unlink()
    elif isinstance(change, str):
        (root / file).write_text(change)
    else:
        PIL.Image.fromarray(np.full(change, 7, np.uint8)).save(root / file)
    with pytest.raises(DataError, match=message) as raised:
        jaxgen.data.load(f"layouts:{root}")
    assert "\n" not in str(raised.value)


def test_empty_and_padded(root, tmp_path):
    with pytest.raises(DataError, match="no images in images/: expected images/ and layouts/"):
        jaxgen.data.load(f"layouts:{_made(tmp_path / 'none')}")
    with pytest.raises(DataError, match="the border of a layout has no class"):
        jaxgen.data.load(f"layouts:{root}", size=8, fit="pad")
    (root / "classes.txt").write_text("road\nsky\ntree\nwall\nunseen\n")
    data = jaxgen.data.load(f"layouts:{root}", size=(6, 8), fit="stretch")
    assert data.spec.fields["layout"].classes == 5
    assert data.spec.fields["layout"].shape == data.spec.shape[:2] == (6, 8)


@pytest.mark.parametrize("fit", ["crop", "stretch"])
@pytest.mark.parametrize("size", [(6, 6), (24, 10), (9, 31)])
def test_maps_are_resized_as_images_are(fit, size):
    """A picture of two flat halves: far from the edge both say the same, and no class is new."""
    layout = np.zeros((12, 16), np.int32)
    layout[:, 10:] = 3
    geometry = Geometry(*size, fit)
    image = geometry.apply((layout * 80).astype(np.uint8)[..., None])[..., 0]
    found = geometry.nearest(layout)
    assert set(np.unique(found)) <= {0, 3} and found.shape == size
    sure = (image < 10) | (image > 230)
    assert sure.mean() > 0.6
    np.testing.assert_array_equal(found[sure], np.where(image[sure] > 120, 3, 0))


@pytest.fixture(scope="module")
def streets():
    return layouts.scenes(200, 7)


def test_shares_of_the_classes(streets):
    shares = [float((streets["layout"] == k).mean()) for k in range(len(layouts.CLASSES))]
    expected = [0.54, 0.36, 0.03, 0.022, 0.021, 0.010, 0.010, 0.005]
    np.testing.assert_allclose(shares, expected, rtol=0.35)
    assert set(streets["label"]) == {0, 1, 2}
    tied = streets["instances"] < len(layouts.CLASSES)
    np.testing.assert_array_equal(streets["instances"][tied], streets["layout"][tied])
    things = np.isin(streets["layout"], (3, 4, 5, 7))
    np.testing.assert_array_equal(things, ~tied)


def test_the_inverse_of_the_renderer(streets):
    """The truth is read nearly right, blurred pictures less so, other layouts hardly at all."""
    x, layout = streets["x"], streets["layout"]
    found, style = layouts.read(x)
    np.testing.assert_array_equal(style, streets["label"])
    blurred = np.rint(ndimage.gaussian_filter(x.astype(float), (0, 2, 2, 0))).astype(np.uint8)
    truth, blur, others = (
        layouts.agreement(seen, layout)["iou"]
        for seen in (found, layouts.read(blurred)[0], np.roll(found, 1, axis=0))
    )
    assert 0.70 < truth < 0.79 and 0.50 < blur < 0.60 and 0.15 < others < 0.25
    assert layouts.agreement(layout, layout) == {"accuracy": 1.0, "iou": 1.0}


def test_agreement_by_hand():
    layout, found = np.array([[[0, 0, 1, 1]]]), np.array([[[0, 1, 1, 2]]])
    value = layouts.agreement(found, layout)
    # 0: 1 of 2; 1: 1 of 3; 2: 0 of 1
    np.testing.assert_allclose([value["accuracy"], value["iou"]], [0.5, (1 / 2 + 1 / 3) / 3])


def test_seeded_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(layouts, "COUNTS", {"train": 6, "test": 4})
    data = jaxgen.data.load("layouts", data_dir=str(tmp_path))
    again = jaxgen.data.load("layouts", data_dir=str(tmp_path))
    assert data.fingerprint() == again.fingerprint()
    batch = data.splits["test"].take(np.arange(4))
    for name, array in layouts.scenes(4, layouts.SEEDS["test"]).items():
        np.testing.assert_array_equal(batch[name], array)
