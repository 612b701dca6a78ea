"""Showers against the formulas' own constants and moments, and files of them."""

import pathlib

import numpy as np
import pytest
import scipy.stats

from jaxgen.data import DataError, load, shower_files
from jaxgen.data.embedded import showers
from jaxgen.data.prepare import mixed
from jaxgen.ops import calorimeter
from jaxgen.ops.calorimeter import CELLS, LAYERS, OBSERVABLES, observables


def test_the_effective_medium_is_that_of_the_reference():
    """Values worked out apart, from the densities and radiation lengths of Geant4's NIST table."""
    medium = showers.MEDIUM
    found = [medium.x0, medium.moliere, medium.critical, medium.z, medium.frequency]
    np.testing.assert_allclose(found, [15.59, 36.88, 8.96, 69.4, 2.599], rtol=6e-4)
    assert medium.response == pytest.approx(0.691, abs=5e-4)
    critical = [showers.LEAD.critical, showers.ARGON.critical]
    np.testing.assert_allclose(critical, [7.36, 29.1], rtol=2e-3)


@pytest.fixture(scope="module")
def drawn():
    return showers.showers(1500, seed=11)


def standard_error(values):
    return values.std() / np.sqrt(len(values))


@pytest.mark.parametrize(
    ("particle", "name", "expected"),
    [
        (0, "fraction_0", 0.142),
        (0, "fraction_1", 0.856),
        (0, "sparsity_0", 0.030),
        (0, "sparsity_1", 0.225),
        (0, "sparsity_2", 0.024),
        (1, "fraction_0", 0.2356),
        (1, "depth", 0.7653),
    ],
)
def test_moments_are_those_measured_before(drawn, particle, name, expected):
    """Photons: an implementation written apart; positrons: 10,000 of this one."""
    own = observables(drawn["x"][drawn["label"] == particle])[name]
    rounding = 6e-4 if particle == 0 else 0  # the first were written down with three places
    assert abs(own.mean() - expected) < 4 * standard_error(own) + rounding


def test_depth_of_positrons_is_that_of_the_gamma_distribution():
    """Without the spread of T and alpha: shares of layers by the closed form."""
    random, count = np.random.RandomState(3), 300
    x = showers.shower(random, np.full(count, 50.0), np.ones(count, np.int32))
    share = observables(x)["fraction_0"]
    random = np.random.RandomState(4)
    peak, alpha, _ = showers.profiles(random, np.full(20_000, 50.0))
    of_layer = scipy.stats.gamma.cdf(90 / showers.MEDIUM.x0, alpha, scale=peak / (alpha - 1))
    assert abs(share.mean() - of_layer.mean()) < 4 * standard_error(share) + 2e-3  # cut and leaks


@pytest.mark.parametrize(("energy", "seed"), [(7.5, 1), (50.0, 2), (95.0, 3)])
def test_response_and_resolution(energy, seed):
    count = 500
    random = np.random.RandomState(seed)
    x = showers.shower(random, np.full(count, energy), np.zeros(count, np.int32))
    response = x.sum(1, dtype=np.float64) / energy
    assert 0.990 < response.mean() < 1.0  # a little leaks
    sampling = showers.SAMPLING / np.sqrt(energy)
    # a variance of N has a relative error of sqrt(2 / N); leakage adds up to 0.5 %
    low = sampling * (1 - 4 * np.sqrt(0.5 / count))
    assert low < response.std() < np.hypot(sampling, 0.006) * (1 + 4 * np.sqrt(0.5 / count))


def test_radii_follow_their_distribution():
    """Of one depth a mixture of two of the paper's densities: its quantiles by the closed form."""
    count, tau, energy = 40_000, 1.0, 20.0
    energies, taus = np.full(count, energy), np.full(count, tau)
    r = showers.radii(np.random.RandomState(0), energies, taus) / 36.875
    z, lack, thin, log_e = 69.408, 1 - 0.69061, 1 / 2.59877, np.log(energy)
    core = 0.0251 + 0.00319 * log_e + (0.1162 - 0.000381 * z) * tau
    core += -0.0203 * lack + 0.0397 * np.exp(-tau) * thin
    k = 0.659 - 0.00309 * z
    tail = k * (np.exp(-2.59 * (tau - 0.645)) + np.exp((0.3585 + 0.0412 * log_e) * (tau - 0.645)))
    tail += -0.14 * lack - 0.495 * np.exp(-tau) * thin
    v = (0.401 + 0.00187 * z - tau) / (1.313 - 0.0686 * log_e)
    p = (2.632 - 0.00094 * z) * np.exp(v - np.exp(v)) + lack * (0.348 - 0.642 * thin)
    for at in (0.05, 0.1, 0.3, 1.0):
        exact = p * at**2 / (at**2 + core**2) + (1 - p) * at**2 / (at**2 + tail**2)
        assert abs((r < at).mean() - exact) < 4 * np.sqrt(exact * (1 - exact) / count)


def test_one_spot_lands_in_its_cell():
    where = np.array([[45.0, 200.0, 440.0, 10.0], [-239.0, 1.0, 239.0, 300.0], [2.0, -1.0, 100, 0]])
    x = showers._cells(np.zeros(4, int), np.array([1.0, 2, 3, 9]), where, 1)
    first, second, third = calorimeter.layers(x)
    assert first[0, 0, 48] == 1 and second[0, 6, 5] == 2 and third[0, 11, 4] == 3
    assert x.sum() == 6  # what passes beside the face is lost


def test_observables_by_hand():
    x = np.zeros((2, CELLS))
    first, second, third = calorimeter.layers(x)  # views
    first[0, 1, 47], first[0, 1, 48] = 3.0, 1.0
    second[0, 0, 0], second[0, 11, 0] = 2.0, 2.0
    found = observables(x)
    assert tuple(found) == OBSERVABLES and len(OBSERVABLES) == 18
    assert found["fraction_0"].tolist() == [0.5, 0.0] and found["energy"].tolist() == [8.0, 0.0]
    assert found["sparsity_1"].tolist() == [2 / 144, 0.0]
    assert found["column_width_0"][0] == pytest.approx(5 * np.sqrt(3) / 4)
    assert found["row_width_0"][0] == 0 and found["row_width_1"][0] == pytest.approx(220)
    assert found["column_width_1"][0] == pytest.approx(0, abs=1e-4)
    assert found["peak_ratio_0"].tolist() == [0.5, 0.0] and found["peak_ratio_1"][0] == 0
    assert found["depth"][0] == 0.5 and found["depth_width"][0] == pytest.approx(0.5)
    assert not any(values[1] for values in found.values())


def test_sets_are_made_once_and_of_one_seed(monkeypatch, tmp_path):
    monkeypatch.setattr(showers, "COUNTS", {"train": 30, "test": 20})
    monkeypatch.setattr(showers, "CHUNK", 16)
    both = load("showers", data_dir=str(tmp_path))
    assert len(both.splits["train"]) == 60 and both.classes == calorimeter.PARTICLES
    train = both.splits["train"].take(np.arange(60))
    again = mixed(showers.showers(30, seed=0), 0)
    for name, array in train.items():
        np.testing.assert_array_equal(array, again[name])
    assert not np.array_equal(train["x"][:40], both.splits["test"].take(np.arange(40))["x"])
    cells = train["x"][train["x"] > 0]
    assert cells.min() >= calorimeter.LEAST and train["x"].dtype == np.float32
    photons = load("photon_showers", data_dir=str(tmp_path))
    assert "label" not in photons.spec.fields and photons.spec.context == ("energy",)
    np.testing.assert_array_equal(photons.splits["train"].x, train["x"][train["label"] == 0])
    with pytest.raises(DataError, match="expected one of showers"):
        showers.load("pion_showers")


def test_files_without_h5py(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    (tmp_path / "gamma.hdf5").write_bytes(b"")
    with pytest.raises(DataError, match=r"gamma.hdf5: .*pip install 'jaxgen\[physics\]'"):
        load(f"showers:{tmp_path}")


def written(path, count=10, **changes):
    """A file of so many showers, MeV."""
    h5py = pytest.importorskip("h5py", reason="needs jaxgen[physics]")
    random = np.random.RandomState(count)
    arrays = {f"layer_{i}": random.rand(count, *shape) for i, shape in enumerate(LAYERS)}
    arrays |= {"energy": 1 + 9 * random.rand(count, 1)} | changes
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            if array is not None:
                file[name] = array
    return arrays


def test_files_are_read(tmp_path):
    arrays = {name: written(tmp_path / f"{name}.hdf5", n) for name, n in (("a", 10), ("b", 20))}
    data = load(f"showers:{tmp_path}", test_fraction=0.2)
    assert data.classes == ("a", "b") and len(data.splits["train"]) == 24
    batch = data.splits["test"].take(np.arange(6))
    assert batch["label"].tolist() == [0] * 2 + [1] * 4
    i = int(
        np.flatnonzero(arrays["a"]["energy"].astype(np.float32)[:, 0] == batch["context"][0])[0]
    )
    layers = calorimeter.layers(batch["x"][:1])
    for k, layer in enumerate(layers):
        np.testing.assert_allclose(layer[0], arrays["a"][f"layer_{k}"][i] / 1000, rtol=1e-6)
    (tmp_path / "b.hdf5").unlink()
    assert "label" not in load(f"showers:{tmp_path}").spec.fields


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer_1": None}, "has no layer_1: expected layer_0, layer_1, layer_2, energy; it has"),
        ({"layer_2": np.zeros((10, 6, 12))}, r"layer_2 is \[10, 6, 12\], expected \[10, 12, 6\]"),
        ({"energy": np.full(10, np.nan)}, "energy of shower 0 is not finite or below zero"),
        ({"layer_0": np.full((10, 3, 96), -1.0)}, "a cell of shower 0 is not finite or below zero"),
        ({"energy": np.full(10, 1e6)}, "energy 1e.06, expected GeV"),
        ({"energy": np.full(10, b"x")}, "energy is no array of numbers in this file"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, changes, message):
    written(tmp_path / "a.hdf5", **changes)
    with pytest.raises(DataError, match=message):
        load(f"showers:{tmp_path}")


def test_files_that_point_elsewhere_or_claim_too_much(tmp_path):
    h5py = pytest.importorskip("h5py", reason="needs jaxgen[physics]")
    written(tmp_path / "a.hdf5")
    other = tmp_path / "other"
    other.mkdir()
    written(other / "b.hdf5")
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        del file["energy"]
        file["energy"] = h5py.ExternalLink(str(other / "b.hdf5"), "energy")
    with pytest.raises(DataError, match="has no energy"):
        shower_files.read(tmp_path / "a.hdf5")
    with h5py.File(tmp_path / "big.hdf5", "w") as file:
        for name, shape in zip(shower_files.NAMES, (*LAYERS, (1,)), strict=True):
            file.create_dataset(name, (10**9, *shape), "f4", chunks=(1, *shape))
    with pytest.raises(DataError, match="layer_0 claims .* bytes, more than the file holds"):
        shower_files.read(tmp_path / "big.hdf5")
    (tmp_path / "c.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="no HDF5 file that can be read"):
        shower_files.read(pathlib.Path(tmp_path / "c.hdf5"))
    with pytest.raises(DataError, match="is no folder"):
        shower_files.load(
            tmp_path / "c.hdf5", test_fraction=0.1, seed=0, size=None, fit="none", mode=None
        )
