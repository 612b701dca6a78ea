"""Damaged files of every format end in a documented error or in success, soon and in little memory.

The seeds are fixed; `FUZZ_SEED=7 python -m pytest -m slow tests/fuzz` damages in other ways.
"""

import os
import random
import signal
import warnings

import pytest
from formats import FORMATS
from memory import growth

from jaxgen.config import ConfigError
from jaxgen.data.dataset import DataError
from jaxgen.data.limits import allowance

FEW, MANY = 50, 3000
SECONDS = 10.0  # of one file
SEED = int(os.environ.get("FUZZ_SEED", "0"))


class Hangs(BaseException):
    """No reader may catch it."""


@pytest.fixture
def alarm():
    """alarm(seconds): raises `Hangs` then; 0 calls it off."""

    def ring(*_):
        raise Hangs

    old = signal.signal(signal.SIGALRM, ring)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, old)


def attack(name, count, tmp_path, alarm):
    """Reads `count` damaged files of a format; returns how many of them were refused."""
    file, make, mutate, read = FORMATS[name]
    whole, path = make(), tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(whole)
    read(path)  # what it knows is whole, and imports are done
    refused = 0
    for i in range(count):
        raw = mutate(whole, random.Random(f"{name} {SEED} {i}"))
        path.write_bytes(raw)
        with growth() as taken:
            alarm(SECONDS)
            try:
                read(path)
            except (ConfigError, DataError) as error:
                refused += 1
                assert "\n" not in str(error), f"{name} {i}: {error}"
            except BaseException as error:
                kind = type(error).__name__
                raise AssertionError(f"{name} {i} of seed {SEED}: {kind}") from error
            finally:
                alarm(0)
        most = 3 * allowance(len(raw))
        assert taken.bytes < most, f"{name} {i}: {len(raw):,} bytes took {taken.bytes:,}"
    return refused


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(name, tmp_path, alarm):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's and NumPy's, of what is odd but readable
        assert attack(name, FEW, tmp_path, alarm) > FEW / 10 or name == "metrics"


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_thousands_of_damaged_files(name, tmp_path, alarm):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attack(name, MANY, tmp_path, alarm)
