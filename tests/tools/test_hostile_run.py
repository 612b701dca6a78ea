"""A whole run directory whose config asks for more than to be sampled from."""

import pathlib
import shutil

import pytest

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.data import DataError, published
from jaxgen.data.tfds import source as tfds_source

LANDED = pathlib.Path(__file__).parents[1] / "fixtures" / "landed" / "finished"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile") / "run"
    shutil.copytree(LANDED, path)
    return jaxgen.load(path)


@pytest.fixture
def run(loaded, monkeypatch, data_root):
    """The run, whose section `data` a test may change."""
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    monkeypatch.setitem(loaded.config, "data", dict(loaded.config["data"]))
    return loaded


def test_nothing_is_prepared_where_a_config_says_so(run, tmp_path, capsys):
    run.config["data"]["data_dir"] = str(tmp_path / "elsewhere")
    assert run.dataset().spec.name == "digits"
    run.config["data"]["data_dir"] = str(tmp_path)  # which exists, but holds no data
    run.dataset()
    assert not list(tmp_path.iterdir()) and not capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tfds:cifar100", "cifar100 is not prepared on this machine"),
        ("cifar10", "cifar10 is not on this machine"),
    ],
)
def test_nothing_is_downloaded(run, monkeypatch, name, message):
    monkeypatch.setattr(tfds_source, "download", lambda *_: pytest.fail("downloads"))
    monkeypatch.setattr(published, "fetch", lambda *_: pytest.fail("downloads"))
    run.config["data"] |= {"name": name, "download": True}
    with pytest.raises(ConfigError, match=message):
        run.dataset()


@pytest.mark.parametrize(
    "name", ["/dev/zero", "/etc/passwd", "/", "tfds:../../etc", "folder:/dev", "a\0b", 3]
)
def test_data_that_are_none(run, name):
    run.config["data"]["name"] = name
    with pytest.raises((DataError, ConfigError)) as error:
        run.dataset()
    assert "\n" not in str(error.value)


def test_a_config_that_names_files_is_said(run, tmp_path, write_images, capsys):
    write_images(tmp_path / "photos")
    run.config["data"]["name"] = str(tmp_path / "photos")
    with pytest.raises(ConfigError, match="are not those of the run"):
        run.dataset()
    assert f"the run's config names its data: name={tmp_path / 'photos'}" in capsys.readouterr().err


def test_checkpoints_that_are_elsewhere(tmp_path, jaxgen_command):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(LANDED, run)
    (run / "checkpoints").rename(elsewhere)
    (run / "checkpoints").symlink_to(elsewhere)
    err = jaxgen_command("sample", run, code=2).err
    assert f"leads out of the run, to {elsewhere}: copy what it points to, or add --allow=" in err
    assert jaxgen.load(run, allow=(str(elsewhere),)).step == 20
