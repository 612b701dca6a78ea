"""Estimates of memory and disk, and refusals before anything is allocated."""

import pathlib

import pytest

from jaxgen import machine
from jaxgen.config import ConfigError


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (64e9, "59.6 GiB"), (2**70, "1024.0 EiB")],
)
def test_sizes(count, text):
    assert machine.size(count) == text


def test_what_does_not_fit_is_refused():
    machine.check_memory(1000, "a little", "nothing")
    with pytest.raises(ConfigError, match=r"--num=9: 1\.0 EiB of memory, .* are available; less"):
        machine.check_memory(2**60, "--num=9", "less")


def test_a_container_has_less_than_the_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    whole = machine.available_bytes()
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert machine.available_bytes() == 3000 < whole
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.available_bytes() > 3000


def test_a_disk_without_room(tmp_path):
    machine.check_disk(1000, "a little", tmp_path / "new" / "x.npz")
    with pytest.raises(ConfigError, match=rf"x: 1\.0 EiB, and .* are free at {tmp_path}"):
        machine.check_disk(2**60, "x", tmp_path / "new" / "x.npz")
    machine.check_disk(1000, "relative", pathlib.Path("x.npz"))
