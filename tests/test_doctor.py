"""An accelerator that JAX does not use is pointed out, with what to install."""

import pathlib
import shutil

import pytest

from jaxgen import machine as doctor


@pytest.fixture
def machine(monkeypatch):
    """machine(nvidia, tpu): a machine whose operating system shows these."""

    def pretend(nvidia=False, tpu=False):
        monkeypatch.delenv("JAX_PLATFORMS", raising=False)
        monkeypatch.delenv("TPU_NAME", raising=False)
        if tpu:
            monkeypatch.setenv("TPU_NAME", "slice")
        monkeypatch.setattr(pathlib.Path, "exists", lambda path: False)
        found = "/usr/bin/nvidia-smi" if nvidia else None
        monkeypatch.setattr(shutil, "which", lambda name: found)

    return pretend


def test_idle_gpu(machine):
    machine(nvidia=True)
    assert 'pip install -U "jax[cuda12]"' in doctor.idle_accelerator()


def test_idle_tpu(machine):
    machine(tpu=True)
    assert 'pip install -U "jax[tpu]"' in doctor.idle_accelerator()


def test_nothing_to_say(machine, monkeypatch):
    machine()
    assert doctor.idle_accelerator() is None
    machine(nvidia=True)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # the user's own wish
    assert doctor.idle_accelerator() is None


def test_missing_package(monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("jax", "no-such-package"))
    assert "no-such-package is missing: pip install no-such-package" in doctor.report()
