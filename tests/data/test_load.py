"""From a name to a data set, and the refusals of names and options that do not work."""

import dataclasses
import importlib
import socket

import numpy as np
import pytest

import jaxgen.data
from jaxgen.config import ConfigError
from jaxgen.data import DataError, embedded
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.fields import DataSpec, Field

routes = importlib.import_module("jaxgen.data.load")  # the package has a function of that name


@pytest.fixture(autouse=True)
def _no_network(monkeypatch, tmp_path):
    """Whatever is wrong must be said without asking the network."""

    def refuse(*_, **__):
        raise AssertionError("a data source asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digit", r"unknown data set .digit.: did you mean digits or digits_two\? embedded sets"),
        ("mnst", "did you mean .*mnist"),
        ("cifar1", "did you mean cifar10"),
        ("tfds:cifra10", "did you mean cifar10"),
        ("zzzzzz", "unknown data set 'zzzzzz': embedded sets are"),
        ("mnist", r"train-images-idx3-ubyte.gz, .* add --config.data.manual_dir=DIR"),
        ("kmnist", "kmnist is not on this machine"),
        ("cifar10", "cifar10 is not on this machine: type jaxgen data cifar10"),
        ("cifar100", r"cifar100 is not prepared .*jaxgen\[tf\].*tfds build cifar100 --file_format"),
        ("imagenet_resized/64x64", "imagenet_resized/64x64 is not prepared on this machine"),
        ("./nowhere", "no such file or folder: .*nowhere"),
        ("folder:nowhere", "no such file or folder: .*nowhere"),
        ("nowhere.npz", "no such file or folder: .*nowhere.npz"),
    ],
)
def test_names_that_do_not_work(name, message):
    with pytest.raises(DataError, match=message) as caught:
        jaxgen.data.load(name)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_data_set(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(DataError, match="neither a folder of images nor"):
        jaxgen.data.load(str(tmp_path / "a.txt"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fit": "croop"}, "data.fit as one of none, crop, pad, stretch; got 'croop'"),
        ({"fit": "crop"}, "data.fit=crop needs a size: add --config.data.size=64,64"),
        ({"size": "big"}, "data.size as H,W"),
        ({"test_fraction": 1.0}, "0 < data.test_fraction < 1, got 1.0"),
    ],
)
def test_options_that_do_not_work(options, message):
    with pytest.raises(DataError, match=message):
        jaxgen.data.load("digits", **options)


def test_a_known_name_wins_over_a_folder_of_that_name(tmp_path, write, prepared_dir):
    for i in range(2):
        write(tmp_path / "digits" / f"{i}.png", (4, 4, 3), i)
        write(tmp_path / "photos" / f"{i}.png", (4, 4, 3), i)
    assert jaxgen.data.load("digits", data_dir=prepared_dir).spec.shape == (8, 8, 1)
    for name in ("./digits", "folder:digits", "photos"):
        assert jaxgen.data.load(name).spec.shape == (4, 4, 3)


def test_every_embedded_name_is_routed(monkeypatch):
    asked = []
    for module in embedded.MODULES:
        monkeypatch.setattr(module, "load", lambda name, data_dir: asked.append(name))
    monkeypatch.setattr(routes.images, "resized", lambda data, size, fit: data)
    monkeypatch.setattr(routes.ranges, "ranged", lambda data, wanted: data)
    monkeypatch.setattr(
        routes.binarization, "binarized", lambda data, mode, seed: words(None, None, 0)
    )
    for name in embedded.EMBEDDED:
        jaxgen.data.load(name)
    assert asked == list(embedded.EMBEDDED)
    few = {"digits", "stacked_digits", "dsprites_like", "faces_like"}
    few |= {"digits_two", "digits_two_bright", "layouts", "nci_molecules"}
    toys = {"ring8", "ring8_narrow", "grid25", "moons", "checkerboard", "spirals"}
    moved = {"turned_moons", "moved_digits"}
    captioned = {"captioned_pairs", "captioned_digits", *embedded.captions.NAMES}
    physics = {"showers", "photon_showers", "positron_showers", "cosmic_web"}
    physics |= {*embedded.vowels.NAMES, *embedded.blocks.NAMES}
    every = few | captioned | toys | moved | physics | set(embedded.simulated.NAMES)
    assert set(asked) == every


SPEC = DataSpec("words", {"x": Field("tokens", (4,), "int32", vocabulary=9)})


def words(data_dir, manual_dir, seed):
    """A reader as a user has one."""
    x = np.random.RandomState(seed).randint(9, size=(20, 4)).astype(np.int32)
    return Dataset(SPEC, {"train": ArraySplit({"x": x}), "test": ArraySplit({"x": x[:5]})}, "test")


def shorter(data_dir, manual_dir, seed):
    whole = words(data_dir, manual_dir, seed)
    return dataclasses.replace(whole, splits={"train": whole.splits["train"]})


def longer(data_dir, manual_dir, seed):
    spec = SPEC.with_field("x", shape=(5,))
    return dataclasses.replace(words(data_dir, manual_dir, seed), spec=spec)


def test_a_reader_of_ones_own():
    data = jaxgen.data.load(words, seed=3)
    assert data.spec == SPEC and "tokens" in data.report()
    assert routes.own(f"{__name__}:words") is words
    assert routes.own("digits") == "digits" and routes.own("folder:digits") == "folder:digits"
    recorded = {"spec": SPEC.as_json(), "fingerprint": data.fingerprint()}
    again = routes.load_as(recorded)(f"{__name__}:words", seed=3)
    assert again.fingerprint() == data.fingerprint()
    with pytest.raises(DataError, match="not those of the run: other content of the test split"):
        routes.load_as(recorded)(f"{__name__}:words", seed=4)


def test_a_reader_that_a_stranger_names_is_not_run():
    recorded = {"spec": SPEC.as_json(), "fingerprint": {}}
    for name in (f"{__name__}:words", "os:system", "subprocess:run"):
        with pytest.raises(ConfigError, match="which is not jaxgen's own: it is not run"):
            routes.load_as(recorded, allow=())(name)
    with pytest.raises(ConfigError, match="is no function that loads data"):
        routes.load_as(recorded, allow=("numpy",))("numpy:ndarray")


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        (shorter, "shorter: expected a jaxgen.data.Dataset with the splits train and test"),
        (lambda **_: None, "with the splits train and test, got NoneType"),
        (longer, r"words: train has .*\(4,\).* and its spec .*\(5,\)"),
    ],
)
def test_a_reader_that_gives_something_else(reader, said):
    with pytest.raises(DataError, match=said):
        jaxgen.data.load(reader)


def test_ambient_data_directory(monkeypatch, tmp_path):
    from jaxgen.data import prepare

    assert prepare.data_root("/a") == prepare.data_root("/a/")
    assert prepare.data_root(None) == tmp_path / "data"
    monkeypatch.delenv("JAXGEN_DATA_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert prepare.data_root(None) == tmp_path / "jaxgen" / "tfds"


def test_labels_and_examples_must_match():
    with pytest.raises(DataError, match="as many of each field, got .'x': 3, 'label': 2.$"):
        ArraySplit({"x": np.zeros((3, 2)), "label": np.zeros(2, np.int32)})
