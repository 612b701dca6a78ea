"""Where caches are: at home, or, for a user without one, where nobody else can put programs.

And XLA's flags: ours are added once, and what the user says wins.
"""

import os
import stat

import pytest

from jaxgen import platform
from jaxgen.tools.outputs import Output


@pytest.fixture
def homeless(monkeypatch, tmp_path):
    """A container user: neither HOME nor an entry in the list of users."""

    def unknown(*_):
        raise KeyError("uid not found")

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MPLCONFIGDIR", "")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    platform._own_directory.cache_clear()
    yield tmp_path / f"jaxgen-{os.getuid()}"
    platform._own_directory.cache_clear()


def test_a_user_without_home(homeless, capsys):
    assert platform.cache_home() == platform.cache_home() == homeless
    assert stat.S_IMODE(homeless.stat().st_mode) == 0o700
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and f"cannot be written, caches are in {homeless}" in err
    with pytest.raises(Exception, match="there is no such home directory"):
        Output((".png",))("~/x.png")


@pytest.mark.parametrize("trap", ["link", "open to all"])
def test_a_directory_that_another_user_prepared(homeless, tmp_path, trap):
    if trap == "link":
        (tmp_path / "theirs").mkdir()
        homeless.symlink_to(tmp_path / "theirs")
    else:
        homeless.mkdir()
        homeless.chmod(0o777)
    found = platform.cache_home()
    assert found != homeless and found.is_dir() and not found.is_symlink()


def test_a_home_that_is_none(homeless, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert platform.cache_home() == homeless
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert platform.cache_home() == tmp_path / "caches"


OURS = f"{platform.FUSION_FLAG}={platform.FUSION_VALUE}"


def test_our_flags_are_added_once():
    assert platform.with_ours("") == platform.with_ours(OURS) == OURS


def test_flags_that_the_user_set_win():
    user = f"--xla_backend_optimization_level=0 {platform.FUSION_FLAG}=other"
    assert platform.with_ours(user) == user
    assert platform.with_ours("--other=1") == f"--other=1 {OURS}"
