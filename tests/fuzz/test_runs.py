"""Whole runs whose config, manifest or metadata are damaged: loaded, or one line."""

import os
import pathlib
import random
import shutil

import mutations
import pytest

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.data.dataset import DataError
from jaxgen.train.checkpoint import CheckpointError

LANDED = pathlib.Path(__file__).parents[1] / "fixtures" / "landed" / "finished"
SEED = int(os.environ.get("FUZZ_SEED", "0"))
MANY = 150
FILES = ("config.json", "manifest.json", "checkpoints/20/integrity/metadata")

# a restore that fails leaves orbax's coroutines to the garbage collector, which complains
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_damaged_runs(file, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(LANDED, run)
    whole = (run / file).read_bytes()
    for i in range(MANY):
        (run / file).write_bytes(mutations.odd_json(whole, random.Random(f"{file} {SEED} {i}")))
        try:
            jaxgen.load(run, step=20)
        except (ConfigError, DataError, CheckpointError) as error:
            assert "\n" not in str(error), f"{file} {i}: {error}"
        except Exception as error:
            raise AssertionError(f"{file} {i} of seed {SEED}: {type(error).__name__}") from error
