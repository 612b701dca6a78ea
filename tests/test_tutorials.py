"""Tutorials: their pages are those of their scripts, and each shows what it says."""

import json
import os
import pathlib
import runpy
import subprocess
import sys

import pytest
from command import ROOT

FOLDER = ROOT / "docs/tutorials"
RENDER = runpy.run_path(str(FOLDER / "render.py"))
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != "render")
LIMIT = 600  # seconds; alone on two cores each takes two minutes at most
LARGEST = 100_000  # bytes of a picture


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_that_of_its_script(name):
    """But for what the cells print, which is as it was when the page was made."""
    parts = RENDER["cells"]((FOLDER / f"{name}.py").read_text())
    page = RENDER["page"](name, parts, [""] * len(parts))
    assert RENDER["PRINTED"].sub("", (FOLDER / f"{name}.md").read_text()) == page
    pictures = [p for p in FOLDER.glob(f"{name}-*.png")]
    assert pictures and all(p.stat().st_size < LARGEST for p in pictures)


def numbers(name, folder, data_root, *wanted):
    """Runs a tutorial as a user does; the values of its variables."""
    script = (
        f"import json, runpy; found = runpy.run_path({str(FOLDER / f'{name}.py')!r});"
        f"print(json.dumps({{k: float(found[k]) for k in {wanted!r}}}))"
    )
    ours = ("XLA_FLAGS", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")  # of tests, not of users
    env = {k: v for k, v in os.environ.items() if k not in ours}
    env |= {"JAXGEN_DATA_DIR": str(data_root), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in pathlib.Path(folder).glob("*.png")) == sorted(
        p.name for p in FOLDER.glob(f"{name}-*.png")
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_flow_learns_the_density_of_the_moons(tmp_path, data_root):
    wanted = ("nll", "error", "entropy", "mass", "back", "gap")
    found = numbers("flow", tmp_path, data_root, *wanted)
    assert -4 * found["error"] < found["nll"] - found["entropy"] < 0.05
    assert abs(found["mass"] - 1) < 0.01
    assert found["back"] < 1e-3 and found["gap"] < 1e-4


@pytest.mark.slow
def test_a_vae_turns_digits_into_latents(tmp_path, data_root):
    wanted = ("nelbo", "pixels", "latents", "tighter", "independent", "two")
    found = numbers("vae", tmp_path, data_root, *wanted, "used_by_one", "used_by_four")
    assert found["nelbo"] == pytest.approx(found["pixels"] + found["latents"], abs=1e-3)
    assert 17 < found["tighter"] < found["nelbo"] < 20.5 < found["two"] < found["independent"]
    assert found["used_by_four"] < found["used_by_one"] <= 8


@pytest.mark.slow
def test_a_game_loses_modes_and_remedies_find_them(tmp_path, data_root):
    wanted = ("plain", "r1_modes", "r1", "packed_modes", "packed")
    found = numbers("gan", tmp_path, data_root, *wanted)
    assert found["r1_modes"] == found["packed_modes"] == 8
    assert 3 * max(found["r1"], found["packed"]) < min(found["plain"], 0.3)


@pytest.mark.slow
def test_a_posterior_is_close_and_calibrated(tmp_path, data_root):
    wanted = ("divergence", "p_speed", "p_angle", "p_narrow", "coverage_error")
    found = numbers("posterior", tmp_path, data_root, *wanted)
    assert -0.02 < found["divergence"] < 0.1
    assert found["p_narrow"] < 1e-4 < 1e-3 < min(found["p_speed"], found["p_angle"])
    assert found["coverage_error"] < 0.04


@pytest.mark.slow
def test_families_are_measured_alike(tmp_path, data_root):
    bits = ("flow_bits", "vae_bits")
    distances = ("floor", "gan_distance", "vae_distance", "flow_distance")
    shares = ("warm_precision", "warm_recall", "cold_precision", "cold_recall")
    found = numbers("families", tmp_path, data_root, *bits, *distances, *shares)
    assert 1.8 < found["vae_bits"] < 2.1 < found["flow_bits"] < 2.43
    assert sorted(distances, key=found.get) == list(distances)
    assert found["cold_precision"] > found["warm_precision"]
    assert found["cold_recall"] < found["warm_recall"]
    assert (tmp_path / "digits.html").stat().st_size > 10_000


@pytest.mark.slow
def test_troubles_are_as_large_as_they_are_said_to_be(tmp_path, data_root):
    wanted = ("flat", "slope", "plain", "penalised", "two", "ten_nats", "weak", "strong")
    found = numbers("troubles", tmp_path, data_root, *wanted, "smile", "pose")
    assert found["flat"] == 0 and abs(found["slope"] - 1) < 0.05
    assert found["plain"] < found["penalised"] == 25
    assert found["two"] > found["ten_nats"] + 1
    assert found["weak"] > 20 and found["strong"] < 0.1
    assert found["smile"] < 0.2 < 0.4 < found["pose"]
