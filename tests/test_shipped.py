"""Configs by name, in any folder, and an installation that holds them."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest
from command import ROOT

from jaxgen import shipped
from jaxgen.config import ConfigError

GLOW = str(ROOT / "configs/glow.py")


def test_every_config_is_found():
    assert list(shipped.configs()) == sorted(p.stem for p in (ROOT / "configs").glob("*.py"))
    assert "cifar10" in shipped.presets(shipped.configs()["glow"])


@pytest.mark.parametrize("asked", ["glow", "glow.py", "configs/glow", "configs/glow.py"])
@pytest.mark.parametrize("preset", ["", ":", ":mnist,tiny"])
def test_names_are_of_those_that_come_with_jaxgen(tmp_path, monkeypatch, asked, preset):
    monkeypatch.chdir(tmp_path)
    assert shipped.located(asked + preset) == GLOW + preset
    (tmp_path / "glow").mkdir()  # a folder is no config
    assert shipped.located(asked + preset) == GLOW + preset
    for mine in ("glow.py", "configs/glow.py"):
        (tmp_path / mine).parent.mkdir(exist_ok=True)
        (tmp_path / mine).write_text("")
    if asked.endswith(".py"):
        assert shipped.located(asked + preset) == asked + preset


@pytest.mark.parametrize("other", ["", ":tiny", "other/glow.py", "runs", "./glow", "configs/a.py"])
def test_the_rest_is_left_to_whoever_reads_the_file(tmp_path, monkeypatch, other):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert shipped.located(other) == other
    with pytest.raises(ConfigError, match="unknown config 'glwo': did you mean 'glow'"):
        shipped.located("glwo:tiny")


def test_models_describes_one(jaxgen_command):
    said = jaxgen_command("models", "glow").out
    assert "Kingma & Dhariwal" in said and "glow:cifar10 " in said and f"file: {GLOW}" in said
    assert "did you mean 'glow'" in jaxgen_command("models", "glwo", code=2).err


def test_an_installation_trains_in_an_empty_folder(tmp_path, data_root):
    """Built and unpacked without a network; a fresh virtualenv is for README's own command."""
    source = tmp_path / "source"  # setuptools leaves its work in the place that it builds
    for name in ("jaxgen", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site, empty = tmp_path / "site", tmp_path / "empty"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    empty.mkdir()
    env = os.environ | {"PYTHONPATH": str(site), "JAXGEN_DATA_DIR": str(data_root)}
    # compiled anew with no flag of XLA's but those that jaxgen sets: some crash on some networks
    env |= {"XLA_FLAGS": "", "JAX_ENABLE_COMPILATION_CACHE": "false"}

    def jaxgen(*words):
        command = [sys.executable, "-m", "jaxgen.cli", *words]
        done = subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert f"file: {site}/jaxgen/configs/dcgan.py" in jaxgen("models", "dcgan")
    assert (site / "jaxgen/py.typed").exists()
    jaxgen("train", "dcgan:digits,tiny")
    run = empty / "runs/dcgan-digits"
    assert (run / "summary.json").exists()
    jaxgen("sample", str(run), "--num=4", f"--out={empty}/grid.png")
    assert (empty / "grid.png").exists()
