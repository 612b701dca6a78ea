"""A run that was stopped, in whatever way, ends in the same bits as one that was not.

Kills at any moment, and damages between them, are in `chaos/`.
"""

import json
import shlex
import shutil
import signal

import jax
import numpy as np
import PIL.Image
import pytest
from command import LIMIT, has_row, rows, saved
from zoo import RUNS

import jaxgen

STEPS = 24
RUN = RUNS["dense"]


@pytest.fixture(scope="module")
def whole(zoo):
    """The run that nothing stopped."""
    return zoo.run("dense")


def check_same(job, whole):
    """Same state, same evaluation, and every step's row exactly once."""
    assert job.summary == whole.summary
    assert rows(job.workdir) == rows(whole.workdir)
    steps = [row["step"] for row in rows(job.workdir, "train")]
    assert steps == list(range(1, whole.summary["step"] + 1))


def check_digest(starter, tmp_path, run, limit=LIMIT):
    """Killed at a step after 13 and run again, a run ends in the same state."""
    whole = starter.run(*run, f"--workdir={tmp_path / 'whole'}", limit=limit)
    command = (*run, f"--workdir={tmp_path / 'killed'}")
    job = starter.start(*command).until(has_row(tmp_path / "killed", 13), limit)
    job.kill().wait(-signal.SIGKILL)
    resumed = starter.run(*command, limit=limit)
    assert "resumed at step" in resumed.out
    check_same(resumed, whole)
    assert resumed.digest == whole.digest


SCHEDULES = """
import runpy


def get_config(arg=""):
    c = runpy.run_path("configs/nice.py")["get_config"]("digits,tiny")
    images = dict(name="linear", start=5.0, end=20.0, steps=1000, unit="images")
    falling = dict(name="cosine", start=1e-3, end=0.0, steps=20, begin=4)
    c.optim = dict(
        model=dict(name="adamw", learning_rate=falling, weight_decay=dict(falling, start=0.1))
    )
    c.optim.model.no_decay = ("*bias",)
    c.optim.model.b2 = dict(name="cosine", start=0.9, end=0.99, steps=20, begin=4)
    c.ema = dict(
        model=dict(half_life_steps=images), slow=dict(half_life_steps=50.0, player="model")
    )
    return c
"""


@pytest.mark.slow
def test_kill_9_of_schedules_and_averages(starter, tmp_path):
    (tmp_path / "config.py").write_text(SCHEDULES)
    check_digest(starter, tmp_path, (f"--config={tmp_path}/config.py", *EVERY_STEP))


EVERY_STEP = (
    "--config.train.steps=24",
    "--config.train.log_every_steps=1",
    "--config.train.save_every_steps=5",
    "--config.train.steps_per_dispatch=1",
)


@pytest.mark.slow
def test_kill_9_of_latents_and_bits_drawn_anew(starter, tmp_path):
    """Noise, moving statistics and the bits of each visit go on where they were."""
    bits = ("--config.data.binarize=dynamic", "--config.method.observation=bernoulli")
    run = ("--config=configs/nvae.py:digits,tiny", *bits, *EVERY_STEP)
    check_digest(starter, tmp_path, run, limit=600)


@pytest.mark.slow
def test_kill_9_of_two_players(starter, tmp_path):
    """Averages, penalties with a memory and both optimisers go on where they were."""
    memory = ("--config.method.history=0.1", "--config.method.lecam=0.1")
    check_digest(starter, tmp_path, ("--config=configs/gan.py:r3,tiny", *memory, *EVERY_STEP))


@pytest.mark.slow
def test_kill_9_of_a_codebook(starter, tmp_path):
    """Averages of codes, and dead ones that become vectors of the batch, go on where they were."""
    many = ("--config.model.quantizer.codes=40", "--config.model.quantizer.revive_steps=18")
    check_digest(starter, tmp_path, ("--config=configs/vqvae.py:tiny", *many, *EVERY_STEP))


@pytest.mark.slow
def test_kill_9_before_a_discriminator_starts(starter, tmp_path):
    """Its start and warm-up are functions of the step."""
    start = ("--config.method.start_steps=16", "--config.method.warmup_steps=4")
    run = ("--config=configs/vqgan.py:tiny", *start, *EVERY_STEP)
    check_digest(starter, tmp_path, run, limit=600)


@pytest.mark.slow
@pytest.mark.parametrize("config", ["ddpm.py:digits", "edm.py:digits", "adm_classifier.py:digits"])
def test_kill_9_of_diffusion(starter, tmp_path, config):
    """Times, noise and labels that are left out are functions of the step."""
    check_digest(starter, tmp_path, (f"--config=configs/{config},tiny", *EVERY_STEP), limit=600)


PHASES = ("--config.method.coarse_steps=8", "--config.method.fixed_steps=6")


@pytest.mark.slow
@pytest.mark.parametrize(
    "config", ["cyclegan", "pix2pix", "pix2pixhd", "spade", "stackgan", "caption_gan"]
)
def test_kill_9_of_pictures_from_pictures_and_words(starter, tmp_path, config):
    """Pools of images, domains in orders of their own, phases and wrong pairs go on."""
    more = PHASES if config == "pix2pixhd" else ()
    run = (f"--config=configs/{config}.py:tiny", *more, *EVERY_STEP)
    check_digest(starter, tmp_path, run, limit=900)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "data"), [("stackgan", "captions"), ("caption_gan", "captions_reversed")]
)
def test_kill_9_of_files_of_captions(starter, tmp_path, config, data):
    """Which captions of an image are drawn is a function of seed and batch."""
    lines, root = [], tmp_path / "data"
    root.mkdir()
    for i in range(30):
        pixels = np.random.RandomState(i).randint(256, size=(32, 32, 3)).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(root / f"{i}.png")
        texts = [f"a{i % 3} b{k} c" for k in range(7)]
        lines.append(json.dumps({"file": f"{i}.png", "captions": texts}))
    (root / "captions.jsonl").write_text("\n".join(lines))
    preset = {"stackgan": "birds", "caption_gan": "published"}[config]
    folder = ("--config.data.size=32,32", f"--config.data.name={data}:{root}")
    run = (f"--config=configs/{config}.py:{preset},tiny", *folder, *EVERY_STEP)
    check_digest(starter, tmp_path, run, limit=900)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        *("calogan:", "caloflow:", "cosmogan:", "molecule_vae:", "voice_vae:", "voice_vae:wave,"),
        *("npe:", "nle:", "nre:", "tsnpe:", "sim_to_real:", "stylegan3:", "r3gan:digits_bent,"),
    ],
)
def test_kill_9_of_the_sciences_and_of_schedules(starter, tmp_path, config):
    """Rounds of simulation, changes of pictures, codes and moments go on where they were."""
    if config == "molecule_vae:":
        pytest.importorskip("rdkit")
    name, _, preset = config.partition(":")
    run = (f"--config=configs/{name}.py:{preset}tiny", *EVERY_STEP)
    check_digest(starter, tmp_path, run, limit=900)


@pytest.mark.slow
def test_kill_9_over_a_first_stage(starter, tmp_path):
    """The second autoencoder's rendered pictures are functions of seed and batch."""
    first = ("--config=configs/sim_to_real.py:tiny", f"--workdir={tmp_path / 'first'}")
    starter.run(*first, limit=600)
    of = f"--config.frozen.first={tmp_path / 'first'}"
    run = ("--config=configs/sim_to_real.py:mixed,tiny", of, *EVERY_STEP)
    check_digest(starter, tmp_path, run, limit=900)


GROWING = ("--config.method.stable_steps=8", "--config.method.fade_steps=12")  # fade: 9 to 19


@pytest.mark.slow
@pytest.mark.parametrize("config", ["progan", "stylegan"])
def test_kill_9_within_a_fade(starter, tmp_path, config):
    """The level, its share and the optimisers' restarts are functions of the step."""
    run = (f"--config=configs/{config}.py:digits,tiny", *GROWING, *EVERY_STEP)
    check_digest(starter, tmp_path, run, limit=900)


@pytest.mark.slow
def test_kill_9_of_lazy_turns(starter, tmp_path):
    """Adaptive augmentation, the mean path length, averages, and turns every so many steps."""
    lazy = ("--config.method.path_every=3", "--config.method.penalties.r1.every=5")
    run = ("--config=configs/stylegan2.py:digits,ada,tiny", *lazy, *EVERY_STEP)
    check_digest(starter, tmp_path, run, limit=900)


def stopped_at(job):
    """(step, arguments of the command that resumes), as a stopped run printed them."""
    *_, line, command = job.out.splitlines()
    assert line.endswith("; saved. Resume with:"), job.out
    python, flag, module, *arguments = shlex.split(command)
    assert (python, flag, module) == ("python", "-m", "jaxgen.main")
    return int(line.split("after step ")[1].split(";")[0]), arguments


def test_signals(starter, whole, tmp_path):
    arguments = [*RUN, f"--workdir={tmp_path}"]
    for name, code, moment in (("SIGTERM", 143, 6), ("SIGINT", 130, 16)):
        job = starter.start(*arguments).until(has_row(tmp_path, moment))
        job.kill(signal.Signals[name]).wait(code)
        step, arguments = stopped_at(job)
        assert f"stopped by {name} after step {step}" in job.out
        assert saved(tmp_path)[-1] == step
        assert not (tmp_path / "summary.json").exists()
    resumed = starter.run(*arguments)
    assert f"resumed at step {step} of {STEPS}, data at batch {step}\n" in resumed.out
    check_same(resumed, whole)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [4, 8])
def test_on_another_number_of_devices(starter, whole, tmp_path, devices):
    job = starter.start(*RUN, f"--workdir={tmp_path}").until(has_row(tmp_path, 17))
    job.kill(signal.SIGTERM).wait(143)
    resumed = starter.run(*RUN, f"--workdir={tmp_path}", devices=devices)
    assert f"on {devices} x cpu" in resumed.out
    expected, got = (jaxgen.load(run.workdir).state.params for run in (whole, resumed))
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(got), strict=True):
        assert np.abs(a - b).max() <= 1e-5 * np.abs(a).max()


@pytest.mark.slow
def test_many_steps_in_a_dispatch(starter, tmp_path):
    changes = ("--config.train.steps_per_dispatch=4", "--config.train.steps=37")
    rare = "--config.train.log_every_steps=7"  # other dispatches than with a row for each step
    whole = starter.run(*RUN, *changes, rare, f"--workdir={tmp_path / 'whole'}")
    command = (*RUN, *changes, f"--workdir={tmp_path / 'stopped'}")
    job = starter.start(*command).until(has_row(tmp_path / "stopped", 9))
    job.kill(signal.SIGTERM).wait(143)
    resumed = starter.run(*command)
    assert resumed.summary == whole.summary


def test_a_finished_run_stays_as_it_is(starter, whole, tmp_path):
    workdir = tmp_path / "again"
    shutil.copytree(whole.workdir, workdir)
    names = ("config.json", "metrics.jsonl", "summary.json")
    before = {name: (workdir / name).read_bytes() for name in names}
    job = starter.run(*RUN, f"--workdir={workdir}")
    assert f"resumed at step {STEPS} of {STEPS}" in job.out
    assert job.out.endswith(f"finished: {workdir}\n")
    assert {name: (workdir / name).read_bytes() for name in names} == before
    assert saved(workdir) == saved(whole.workdir)
    manifest = json.loads((workdir / "manifest.json").read_text())
    assert len(manifest["resumed"]) == 1


@pytest.mark.slow
def test_a_longer_run_goes_on(starter, whole, tmp_path):
    starter.run(*RUN, "--config.train.steps=19", f"--workdir={tmp_path}")
    assert starter.run(*RUN, f"--workdir={tmp_path}").digest == whole.digest
