"""Any prepared tfds data set, by name: small ones are built here, under the names of stock ones."""

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds

import jaxgen.data
from jaxgen.data import DataError
from jaxgen.data.tfds import prepared
from jaxgen.data.tfds import source as tfds_source

IMAGES = np.random.RandomState(0).randint(256, size=(14, 6, 5, 3)).astype(np.uint8)
POINTS = np.random.RandomState(0).randn(14, 3)


def make(
    place, features, rows, name_="cifar10", splits=(("train", 10), ("test", 4)), version="3.0.2"
):
    """Prepares `rows` under `place` as the data set `name_`."""
    with tfds.core.registered.skip_registration():

        class Small(tfds.core.GeneratorBasedBuilder):
            name = name_
            VERSION = tfds.core.Version(version)
            pkg_dir_path = place

            def _info(self):
                return tfds.core.DatasetInfo(
                    builder=self,
                    features=tfds.features.FeaturesDict(features),
                    disable_shuffling=True,
                )

            def _split_generators(self, dl_manager):
                starts = np.cumsum([0] + [count for _, count in splits])
                return {
                    split: self._generate_examples(range(first, first + count))
                    for (split, count), first in zip(splits, starts, strict=False)
                }

            def _generate_examples(self, keys):
                for key in keys:
                    yield int(key), rows[key]

    prepared.build(Small, place)
    return str(place)


def coloured(place, **choices):
    features = {
        "id": tfds.features.Text(),
        "image": tfds.features.Image(shape=(6, 5, 3), encoding_format="png"),
        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
    }
    rows = [
        {"id": str(i), "image": PIL.Image.fromarray(image), "label": i % 2}
        for i, image in enumerate(IMAGES)
    ]
    return make(place, features, rows, **choices)


def everything(split):
    return split.take(np.arange(len(split)))


@pytest.mark.parametrize("memory", [512, 0])
@pytest.mark.parametrize("name", ["cifar10", "tfds:cifar10", "cifar10:3.0.2"])
def test_images_by_a_stock_name(tmp_path, name, memory):
    place = coloured(tmp_path)
    for _ in range(2):  # decoded, then from the decoded copy
        data = jaxgen.data.load(name, data_dir=place, in_memory_mb=memory)
        assert data.spec.name == name.removeprefix("tfds:")
        assert (data.spec.shape, data.spec.levels) == ((6, 5, 3), 256)
        assert data.spec.num_classes == 2 and data.classes == ("cat", "dog")
        for split, part in (("train", slice(10)), ("test", slice(10, None))):
            batch = everything(data.splits[split])
            np.testing.assert_array_equal(batch["x"], IMAGES[part])
            np.testing.assert_array_equal(batch["label"], (np.arange(14) % 2)[part])
            assert batch["label"].dtype == np.int32
        assert ("in memory" if memory else "from disk") in data.report()
        assert data.fingerprint() == data.fingerprint()


@pytest.mark.parametrize("memory", [512, 0])
def test_held_out_and_validation(tmp_path, memory):
    place = coloured(tmp_path / "a", splits=(("train", 14),))
    data = jaxgen.data.load("cifar10", data_dir=place, test_fraction=0.3, in_memory_mb=memory)
    x = [everything(data.splits[split])["x"] for split in ("train", "test")]
    assert [len(part) for part in x] == [10, 4]
    assert sorted(map(bytes, np.concatenate(x))) == sorted(map(bytes, IMAGES))
    assert "no test split: 4 of the train examples are held out" in data.report()
    place = coloured(tmp_path / "b", splits=(("train", 10), ("validation", 4)))
    data = jaxgen.data.load("cifar10", data_dir=place, in_memory_mb=memory)
    assert len(data.splits["test"]) == 4
    assert "the validation split stands in" in data.report()


def test_vectors(tmp_path):
    features = {"x": tfds.features.Tensor(shape=(3,), dtype=np.float64)}
    place = make(tmp_path, features, [{"x": point} for point in POINTS], name_="vectors")
    for memory in (512, 0):
        data = jaxgen.data.load("vectors", data_dir=place, in_memory_mb=memory)
        assert (data.spec.shape, data.spec.levels, data.spec.num_classes) == ((3,), None, 0)
        batch = everything(data.splits["train"])
        assert set(batch) == {"x"}
        np.testing.assert_array_equal(batch["x"], POINTS[:10].astype(np.float32))
        assert batch["x"].dtype == np.float32


def test_images_of_different_sizes(tmp_path):
    features = {"image": tfds.features.Image(shape=(None, None, 3), encoding_format="png")}
    rows = [{"image": PIL.Image.fromarray(image[: 3 + i % 3])} for i, image in enumerate(IMAGES)]
    place = make(tmp_path, features, rows)
    with pytest.raises(DataError, match="cifar10 differ in size; .*--config.data.size=64,64"):
        jaxgen.data.load("cifar10", data_dir=place)
    for memory in (512, 0):
        data = jaxgen.data.load("cifar10", data_dir=place, size=8, fit="pad", in_memory_mb=memory)
        x = everything(data.splits["train"])["x"]
        assert data.spec.shape == x.shape[1:] == (8, 8, 3)
        np.testing.assert_array_equal(x[0, 2:5, 1:6], IMAGES[0, :3])


def test_features_that_do_not_work(tmp_path):
    text = {"text": tfds.features.Text()}
    place = make(tmp_path / "a", text, [{"text": "a"}] * 14, name_="words")
    with pytest.raises(DataError, match=r"words has no image .* it has text \(Text\)"):
        jaxgen.data.load("words", data_dir=place)
    both = {key: tfds.features.Tensor(shape=(3,), dtype=np.float32) for key in "ab"}
    rows = [{"a": point, "b": point} for point in POINTS.astype(np.float32)]
    place = make(tmp_path / "b", both, rows, name_="pairs")
    with pytest.raises(DataError, match="pairs: several features could be the data: a, b"):
        jaxgen.data.load("pairs", data_dir=place)


def test_mnist_that_tfds_prepared(tmp_path):
    features = {
        "image": tfds.features.Image(shape=(6, 5, 1), encoding_format="png"),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    rows = [{"image": PIL.Image.fromarray(image[..., 0]), "label": 3} for image in IMAGES]
    place = make(tmp_path, features, rows, name_="fashion_mnist")
    data = jaxgen.data.load("fashion_mnist", data_dir=place)
    np.testing.assert_array_equal(everything(data.splits["test"])["x"], IMAGES[10:, ..., :1])
    assert "no train example of class 0, 1, 2, 4" in data.report()


def test_download_needs_tensorflow(tmp_path, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r'needs TensorFlow .*pip install "jaxgen\[tf\]"'):
        jaxgen.data.load("cifar100", data_dir=str(tmp_path), download=True)


def test_download_prepares_array_record(tmp_path, monkeypatch):
    import importlib.util

    asked = {}

    class Stock:
        def download_and_prepare(self, download_config):
            asked["manual_dir"] = download_config.manual_dir
            coloured(tmp_path)

    def builder(name, data_dir, file_format):
        asked.update(name=name, data_dir=data_dir, file_format=file_format)
        return Stock()

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(tfds, "builder", builder)
    tfds_source.download("cifar10", str(tmp_path), "/manual")
    assert asked.pop("manual_dir") is not None
    assert asked == {
        "name": "cifar10",
        "data_dir": str(tmp_path),
        "file_format": "array_record",
    }
    assert tfds_source.find("cifar10", str(tmp_path)) is not None


def test_a_data_directory_that_is_read_only_still_serves(tmp_path, monkeypatch):
    place = coloured(tmp_path)

    def refuse(*_, **__):
        raise DataError("cannot prepare") from PermissionError(13, "denied")

    monkeypatch.setattr(prepared.prepare, "prepare_once", refuse)
    data = jaxgen.data.load("cifar10", data_dir=place)
    np.testing.assert_array_equal(everything(data.splits["train"])["x"], IMAGES[:10])


@pytest.mark.parametrize(
    "name", ["tfds:../../etc", "tfds:mnist/../../x", "tfds:huggingface:mnist", "tfds:a b", "tfds:"]
)
def test_names_that_reach_elsewhere(name, tmp_path):
    with pytest.raises(DataError, match="is no data set of tfds"):
        jaxgen.data.load(name, data_dir=str(tmp_path))


def test_features_of_other_modules_are_not_imported(tmp_path, monkeypatch):
    rows = [{"image": PIL.Image.fromarray(image)} for image in IMAGES]
    make(tmp_path, {"image": tfds.features.Image(shape=(6, 5, 3), encoding_format="png")}, rows)
    assert jaxgen.data.load("cifar10", data_dir=str(tmp_path)).spec.shape == (6, 5, 3)
    (file,) = tmp_path.rglob("features.json")
    text = file.read_text()
    (tmp_path / "strange_features.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    kind = "tensorflow_datasets.core.features.image_feature.Image"
    assert kind in text
    file.write_text(text.replace(kind, "strange_features.Image"))
    with pytest.raises(DataError, match="'strange_features.Image', which is no feature of tfds"):
        jaxgen.data.load("cifar10", data_dir=str(tmp_path))
    file.write_text("[" * 10_000)
    with pytest.raises(DataError, match="features.json is damaged"):
        jaxgen.data.load("cifar10", data_dir=str(tmp_path))
