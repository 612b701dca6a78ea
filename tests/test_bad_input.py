"""Every mistake is one clear line; what can be recovered from is, to the same bits."""

import dataclasses
import json
import pathlib
import re
import shutil
import signal

import jax.numpy as jnp
import numpy as np
import pytest
from command import GLOW, ROOT, TINY, has_row, rows, saved
from zoo import RUNS

from jaxgen.data import load
from jaxgen.data.loader import Order
from jaxgen.methods.likelihood import Likelihood

RUN = (TINY, "--config.train.log_every_steps=1")
WHOLE = RUNS["flow"]


OVERRIDES = {
    "field": (
        "--config.model.dept=4",
        "unknown config field 'config.model.dept': did you mean 'config.model.depth'?",
    ),
    "section": (
        "--config.trian.steps=4",
        "unknown config section 'config.trian': did you mean 'config.train'?",
    ),
    "int": ("--config.train.steps=four", "--config.train.steps=four: expected int, as 20"),
    "not a whole number": ("--config.train.steps=4.5", "expected int, as 20"),
    "float": (
        "--config.optim.model.learning_rate=fast",
        "--config.optim.model.learning_rate=fast: expected float, as 0.001",
    ),
    "bool": ("--config.model.edge=maybe", "--config.model.edge=maybe: expected bool, as False"),
    "optional int": ("--config.method.n_bits=x", "--config.method.n_bits=x: expected int"),
    "whole section": (
        "--config.train=4",
        "--config.train=4: expected one of its fields, as --config.train.",
    ),
    "flag": ("--wrkdir=x", "Unknown command line flag 'wrkdir'. Did you mean: workdir ?"),
    "choice of a flag": ("--distributed=on", "value should be one of <off|auto|explicit>"),
    "no flag": ("steps=4", "unexpected argument 'steps=4'; options are given as --name=value"),
    "range": ("--config.train.accum=0", "config.train.accum=0, expected 1 or more"),
    "dtype": ("--config.model.dtype=bf16", "config.model.dtype=bf16, expected one of float32"),
    "choice": ("--config.train.on_nan=ignore", "config.train.on_nan='ignore', expected one of"),
    "model": (
        "--config.model.name=flows.glwo.Glow",
        "unknown module 'flows.glwo': did you mean 'flows.glow'?",
    ),
    "class": (
        "--config.model.name=flows.glow.Gow",
        "unknown name in jaxgen.models.flows.glow 'Gow': did you mean 'Glow'?",
    ),
    "devices": (
        "--config.mesh.data=3",
        "config.mesh: data=3 x fsdp=1 is not the number of devices, 8",
    ),
    "split": (
        "--config.evaluate.splits=tset",
        "config.evaluate.splits: 'tset' is none of train, test",
    ),
    "best": (
        "--config.evaluate.best=test/bdp",
        "unknown metric in config.evaluate.best 'test/bdp': did you mean 'test/bpd'?",
    ),
    "no examples": (
        "--config.evaluate.max_examples=0",
        "config.evaluate.max_examples=0, expected 1 or more",
    ),
    "accumulation": (
        "--config.train.accum=3",
        "config.train.batch_size must be a multiple of 24",
    ),
    "data set": (
        "--config.data.name=digitz",
        "unknown data set 'digitz': did you mean digits",
    ),
    "absent data set": (
        "--config.data.name=cifar100",
        "the tfds data set cifar100 is not prepared on this machine",
    ),
    "absent folder": (
        "--config.data.name=folder:no/such/photos",
        "no such file or folder: /",
    ),
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_override(refused, tmp_path, name):
    flag, message = OVERRIDES[name]
    workdir = tmp_path / "run"
    assert message in refused(GLOW, "--config.model.levels=1", flag, f"--workdir={workdir}")
    assert not (workdir / "checkpoints").exists()


CONFIGS = {
    "file": ("--config=configs/glwo.py", "unknown config file 'configs/glwo.py': did you mean 'c"),
    "folder": ("--config=configs", "configs is a folder: name a file in it, as --config=configs/"),
    "empty": ("--config=", "--config= names no file: add one, as --config=configs/glow.py"),
    "preset": (
        "--config=configs/glow.py:cifra10",
        "configs/glow.py: unknown preset 'cifra10': did you mean 'cifar10'?",
    ),
    "argument": (
        "--config=configs/glow.py:digits,tinny",
        "configs/glow.py: unknown config argument 'tinny': did you mean 'tiny'?",
    ),
    "value of an argument": (
        "--config=configs/glow.py:digits,tiny=4",
        "configs/glow.py: config argument tiny='4': expected bool",
    ),
    "none": ("--dry_run", "no config; try --config=configs/glow.py (see --help)"),
    "override only": (
        "--config.train.steps=4",
        "--config.train.steps needs a config: add --config=configs/NAME.py before it",
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_config(refused, tmp_path, name):
    flag, message = CONFIGS[name]
    assert message in refused(flag, f"--workdir={tmp_path}")


CODE = """
import runpy

def get_config(arg=""):
    c = runpy.run_path({nice!r})["get_config"]("digits,tiny")
    with c.unlocked():
        {change}
    return c
"""


@pytest.fixture
def config(tmp_path):
    """config(change): a config file, that of tiny digits but for one line of code."""

    def write(change):
        path = tmp_path / "changed.py"
        path.write_text(CODE.format(nice=str(ROOT / "configs/nice.py"), change=change))
        return f"--config={path}"

    return write


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("c.model.widht = 2", "unknown option of config.model 'widht': did you mean 'width'?"),
        ("c.train.step = 2", "unknown option of config.train 'step': did you mean 'steps'?"),
        ("c.modle = {}", "unknown section 'modle': did you mean 'model'?"),
        ("del c.model.name", "config.model misses name"),
        ("del c.ema", "config misses the sections ema"),
        ("del c.train.steps", "config.train misses steps"),
        ("c.optim.model.beta1 = 0.9", "unknown option of config.optim.model 'beta1'"),
        ("c.optim.modle = c.optim.model", "unknown player in config.optim 'modle'"),
    ],
)
def test_mistake_in_the_code_of_a_config(refused, config, tmp_path, change, message):
    assert message in refused(config(change), f"--workdir={tmp_path / 'run'}")


def test_batch_that_the_devices_do_not_divide(refused, tmp_path):
    flags = (TINY, "--config.train.batch_size=18", f"--workdir={tmp_path}")
    message = "config.train.batch_size=18 is not a multiple of the 8 devices"
    assert message in refused(*flags)


def test_sides_that_the_levels_do_not_divide(refused, tmp_path):
    assert refused(GLOW, "--config.model.levels=4", f"--workdir={tmp_path}") == (
        "flows.glow.Glow does not fit digits, images of 8x8x1: squeeze needs an even height and "
        "width, got 1x1: use fewer levels or images whose sides are divisible by 2**levels"
    )


def bad_images(folder, write_images, what):
    if what != "empty":
        write_images(folder)
    if what == "corrupt":
        path = folder / "007.png"
        path.write_bytes(path.read_bytes()[:60])
    if what == "sizes":
        write_images(folder, count=3, size=(8, 10))
    folder.mkdir(exist_ok=True)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("empty", "no images in {0}: it holds no files"),
        ("corrupt", "damaged image {0}/007.png: "),
        ("sizes", "images of different sizes (height x width) in {0}: 17 of 8x8 (e.g. 003.png), 3"),
    ],
)
def test_folder(refused, write_images, tmp_path, what, message):
    folder = tmp_path / "photos"
    bad_images(folder, write_images, what)
    flags = (TINY, f"--config.data.name={folder}", f"--workdir={tmp_path / 'run'}")
    assert message.format(folder) in refused(*flags)


def test_files_that_were_not_fetched(starter, tmp_path):
    flags = (TINY, "--config.data.name=mnist", f"--config.data.manual_dir={tmp_path}")
    error = starter.run(*flags, f"--workdir={tmp_path / 'run'}", code=2).error
    assert f"no train-images-idx3-ubyte.gz and no train-images-idx3-ubyte in {tmp_path}" in error


def test_data_that_changed_since_the_run_began(starter, refused, write_images, tmp_path):
    folder, workdir = tmp_path / "photos", tmp_path / "run"
    write_images(folder)
    flags = (*RUN, f"--config.data.name={folder}", f"--workdir={workdir}")
    starter.run(*flags, "--config.train.steps=2", "--config.train.batch_size=8")
    (folder / "000.png").unlink()
    said = refused(*flags, "--config.train.batch_size=8", "--config.train.steps=4")
    assert f"{workdir}: config.data: the data are not those of the run: " in said
    assert saved(workdir) == [2]


@pytest.fixture(scope="module")
def whole(zoo, tmp_path_factory):
    """A run of 20 steps with checkpoints of steps 10 and 20, by the flags `WHOLE`."""
    return zoo.copy("flow", tmp_path_factory.mktemp("whole") / "run")


def truncate(data):
    return data[: len(data) // 2]


def flip_bits(data):
    """Here and there: not every byte of the format's files is read."""
    damaged = bytearray(data)
    for i in range(len(data) // 4, 3 * len(data) // 4, 101):
        damaged[i] ^= 4
    return bytes(damaged)


@pytest.mark.parametrize("damage", [truncate, flip_bits])
def test_damaged_checkpoint(starter, whole, tmp_path, damage):
    workdir = tmp_path / "run"
    shutil.copytree(whole.workdir, workdir)
    newest = workdir / "checkpoints" / "20" / "state"
    largest = max(newest.glob("**/d/*"), key=lambda p: p.stat().st_size)
    largest.write_bytes(damage(largest.read_bytes()))
    job = starter.run(*WHOLE, f"--workdir={workdir}")
    assert "checkpoint of step 20 is damaged (" in job.out
    assert f"set aside as {workdir}/checkpoints/corrupt-20, using the one before" in job.out
    assert "resumed at step 10 of 20" in job.out
    assert job.summary == whole.summary
    assert rows(workdir) == rows(whole.workdir)


def test_full_disk(starter, whole, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(whole.workdir, workdir)
    shutil.rmtree(workdir / "checkpoints" / "20")
    # less than the metadata of a checkpoint: how its arrays are divided into files varies
    job = starter.run(*WHOLE, f"--workdir={workdir}", largest_file=10_000, code=1)
    line = job.error  # alone: no threads complain around it
    assert line.startswith(f"could not write the checkpoint to {workdir}/checkpoints: File too lar")
    assert " KiB to write, " in line and "; the checkpoint of step 10 is whole; free" in line
    assert saved(workdir) == [10]
    job = starter.run(*WHOLE, f"--workdir={workdir}")
    assert "resumed at step 10 of 20" in job.out
    assert job.summary == whole.summary


@pytest.mark.slow
def test_restart(starter, whole, tmp_path):
    """Damaged checkpoints are not gone over; all of them are in a folder afterwards."""
    workdir = tmp_path / "run"
    shutil.copytree(whole.workdir, workdir)
    for step in (10, 20):
        shutil.rmtree(workdir / "checkpoints" / str(step) / "state")
    before = {p.relative_to(workdir): p.read_bytes() for p in workdir.rglob("*") if p.is_file()}
    error = starter.run(*WHOLE, f"--workdir={workdir}", code=1).error
    assert "nothing was changed" in error and "--restart" in error
    assert (workdir / "metrics.jsonl").read_bytes() == before[pathlib.Path("metrics.jsonl")]
    job = starter.run(*WHOLE, "--restart", f"--workdir={workdir}")
    assert job.summary == whole.summary
    (aside,) = workdir.glob("before-restart-*")
    kept = {p.relative_to(aside): p.read_bytes() for p in aside.rglob("*") if p.is_file()}
    assert kept.keys() == before.keys()
    for name in ("metrics.jsonl", "summary.json", "checkpoints/20/integrity/metadata"):
        assert kept[pathlib.Path(name)] == before[pathlib.Path(name)]


def test_a_second_command_is_refused_at_once(starter, tmp_path):
    command = (*RUN, "--config.train.steps=100000", f"--workdir={tmp_path}")
    first = starter.start(*command).until(has_row(tmp_path, 3))
    error = starter.run(*command, code=2).error
    assert f"{tmp_path} is in use by process {first.pid} on " in error
    first.kill(signal.SIGINT).wait(130)
    assert "SIGINT: stopping after the step or compilation under way" in first.out


def test_place_that_cannot_be_written(starter, tmp_path):
    (tmp_path / "file").touch()
    job = starter.run(TINY, f"--workdir={tmp_path / 'file' / 'run'}", code=1)
    assert "Not a directory" in job.error
    assert str(tmp_path / "file") in job.error


def test_run_directory_of_another_config(starter, whole):
    def files():
        found = sorted(p for p in whole.workdir.glob("**/*") if p.is_file())
        return [(p, p.stat().st_mtime_ns, p.stat().st_size) for p in found]

    before = files()
    changes = ("--config.model.hidden=3", "--config.seed=1")
    job = starter.run(*WHOLE, *changes, f"--workdir={whole.workdir}", code=2)
    assert job.err.splitlines() == [
        f"jaxgen: error: {whole.workdir} belongs to another config:",
        "  model.hidden: 1 in the run, 3 now",
        "  seed: 0 in the run, 1 now",
        "give another --workdir, or the run's own config to resume it",
    ]
    assert files() == before


def test_diverging_run_stops(starter, tmp_path):
    flags = ("--config.optim.model.learning_rate=1e30", "--config.train.save_every_steps=1")
    job = starter.run(*RUN, *flags, f"--workdir={tmp_path}", code=1)
    assert re.match(r"step 1, turn 'model': \S+ is not finite \(batch 1\); ", job.error)
    assert "the checkpoint of step 1 is kept; lower the learning rate, clip" in job.error
    assert "set --config.train.on_nan=rollback" in job.error


def test_rollbacks_are_bounded(starter, tmp_path):
    flags = ("--config.optim.model.learning_rate=1e30", "--config.train.save_every_steps=1")
    more = ("--config.train.on_nan=rollback", "--config.train.max_rollbacks=2")
    job = starter.run(*RUN, *flags, *more, f"--workdir={tmp_path}", code=1)
    assert job.out.count("rolled back to step 1") == 2
    assert re.match(r"step 1, turn 'model': \S+ is not finite \(batch 3\); ", job.error)
    assert "2 rollbacks were made, config.train.max_rollbacks is reached" in job.error


@dataclasses.dataclass(frozen=True)
class Poisoned(Likelihood):
    """Whose loss is not a number on one batch: that of the images with a given sum."""

    poison: int = 0

    def loss(self, state, batch, rng):
        loss, rest = super().loss(state, batch, rng)
        total = jnp.sum(batch["x"].astype(jnp.int32))
        return jnp.where(total == self.poison, jnp.nan, loss), rest


def sum_of_batch(data_root, number):
    x = load("digits", data_dir=str(data_root)).splits["train"].x
    return int(x[Order(len(x), 16, 0)[number]].astype(np.int64).sum())


def test_one_bad_batch_is_left_out(starter, config, data_root, tmp_path):
    change = "c.method.update(name='test_bad_input:Poisoned', poison={})"
    flags = (
        config(change.format(sum_of_batch(data_root, 7))),
        "--config.train.log_every_steps=1",
        "--config.train.save_every_steps=5",
        "--config.train.on_nan=rollback",
    )
    whole = starter.run(*flags, f"--workdir={tmp_path / 'whole'}")
    told = "step 7, turn 'model': loss is not finite: rolled back to step 5, batch 7 is left out"
    assert told in whole.out
    assert whole.summary["step"] == 20
    assert [row["step"] for row in rows(whole.workdir, "train")] == list(range(1, 21))
    assert all(np.isfinite(row["model/loss"]) for row in rows(whole.workdir, "train"))
    progress = json.loads((whole.workdir / "checkpoints/20/progress/metadata").read_text())
    assert (progress["batch"], progress["skipped"]) == (21, [7])

    workdir = tmp_path / "stopped"
    shutil.copytree(whole.workdir, workdir)
    shutil.rmtree(workdir / "checkpoints" / "20")
    resumed = starter.run(*flags, f"--workdir={workdir}")
    assert "resumed at step 15 of 20" in resumed.out
    assert "without batches [7]" in resumed.out
    assert resumed.summary == whole.summary
    assert rows(workdir) == rows(whole.workdir)


def test_poison_is_on_one_batch_only(data_root):
    sums = [sum_of_batch(data_root, i) for i in range(22)]
    assert sums.count(sums[7]) == 1
