"""Data that were moved or renamed: found again where one says, and told by their content."""

import json
import shutil

import numpy as np
import PIL.Image
import pytest
from command import ROOT

import jaxgen.data
from jaxgen.claim import claim
from jaxgen.config import ConfigError
from jaxgen.data.dataset import differences
from jaxgen.session import placed

TINY = f"--config={ROOT}/configs/nice.py:digits,tiny"


@pytest.fixture(scope="module")
def trained(starter, tmp_path_factory):
    """A run on the folder `photos`, named by a relative path."""
    home = tmp_path_factory.mktemp("moved")
    pixels = np.random.RandomState(0).randint(256, size=(20, 8, 8)).astype(np.uint8)
    (home / "photos").mkdir()
    for i, image in enumerate(pixels):
        PIL.Image.fromarray(image).save(home / "photos" / f"{i:03}.png")
    job = starter.run(TINY, "--config.data.name=photos", f"--workdir={home}/run", cwd=home)
    return home, job


def test_paths_are_stored_absolute(trained):
    home, job = trained
    assert json.loads((job.workdir / "config.json").read_text())["data"]["name"] == str(
        home / "photos"
    )


@pytest.mark.slow
def test_a_moved_folder_is_evaluated_and_resumed(trained, starter, jaxgen_command, tmp_path):
    home, _ = trained
    shutil.copytree(home, tmp_path / "copy")
    run = tmp_path / "copy" / "run"
    before = json.loads(jaxgen_command("eval", run).out)  # from another working directory
    (home / "photos").rename(home / "holiday")
    try:
        err = jaxgen_command("eval", run, code=2).err
        assert "no such file or folder" in err and "add --data=PLACE" in err
        after = json.loads(jaxgen_command("eval", run, f"--data={home}/holiday").out)
        assert after == before
        png = tmp_path / "grid.png"
        jaxgen_command("reconstruct", run, f"--data={home}/holiday", f"--out={png}", "--num=4")
        assert png.exists()
        longer = (TINY, "--config.train.steps=22", f"--workdir={run}")
        job = starter.run(*longer, "--config.data.name=photos", cwd=home, code=2)
        assert "unknown data set 'photos'" in job.error and "add --data=PLACE" in job.error
        job = starter.run(*longer, "--config.data.name=holiday", cwd=home)
        assert "resumed at step 20" in job.out
        assert json.loads((run / "config.json").read_text())["data"]["name"].endswith("holiday")
    finally:
        (home / "holiday").rename(home / "photos")


def test_other_data_are_refused_by_what_differs(trained, jaxgen_command, tmp_path):
    home, job = trained
    other = tmp_path / "photos"
    shutil.copytree(home / "photos", other)
    PIL.Image.fromarray(np.zeros((8, 8), np.uint8)).save(other / "003.png")
    err = jaxgen_command("eval", job.workdir, f"--data={other}", code=2).err
    assert "the data are not those of the run: other content of the" in err
    assert err.count("\n") == 1
    err = jaxgen_command("eval", job.workdir, "--data=digits", code=2).err
    assert "levels 256 then, 17 now" in err and "sha256" not in err


def test_names_of_data_sets_are_no_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "digits").mkdir()
    assert placed({"name": "photos"})["name"] == str(tmp_path / "photos")
    assert placed({"name": "folder:digits"})["name"] == str(tmp_path / "digits")
    assert placed({"name": "digits"})["name"] == "digits"
    assert placed({"name": "absent"})["name"] == "absent"
    assert placed({"name": "x", "manual_dir": "idx"})["manual_dir"] == str(tmp_path / "idx")


def test_a_claim_is_open_about_places_alone(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"data": {"name": "/gone/photos"}}))
    (tmp_path / "photos").mkdir()
    claim(tmp_path, {"data": {"name": str(tmp_path / "photos")}})
    with pytest.raises(ConfigError, match="data.name: '/gone/photos' in the run, 'ring8' now"):
        claim(tmp_path, {"data": {"name": "ring8"}})


def test_differences_are_of_content(tmp_path):
    np.save(tmp_path / "a.npy", np.random.RandomState(0).rand(30, 2))
    known = jaxgen.data.load(f"{tmp_path}/a.npy").fingerprint()
    assert differences(known, known | {"name": "b"}) == []
    assert differences(known, known | {"levels": 2}) == ["levels None then, 2 now"]
    fewer = json.loads(json.dumps(known))
    fewer["splits"]["test"]["count"] = 1
    assert differences(known, fewer) == ["3 test examples then, 1 now"]
