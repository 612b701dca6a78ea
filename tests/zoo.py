"""Finished tiny runs that tests share, trained once a session by the worker that asks first."""

import dataclasses
import fcntl
import json
import pathlib
import shutil

from command import DENSE, TINY

RUNS = {
    "flow": (TINY,),
    "dense": (TINY, *DENSE, "--config.train.steps=24"),
    "vae": (
        "--config=configs/vae.py:digits,tiny",
        "--config.model.latent=2",
        "--config.optim.model.learning_rate=0.03",
    ),
    "gan": ("--config=configs/gan.py:r1,tiny",),
}


@dataclasses.dataclass(frozen=True)
class Finished:
    """A run that is over.

    Attributes:
        workdir: its directory.
        out: what it printed.
    """

    workdir: pathlib.Path
    out: str

    @property
    def summary(self):
        return json.loads((self.workdir / "summary.json").read_text())

    @property
    def digest(self):
        return self.summary["state_digest"]


class Zoo:
    """Runs in a folder that all workers see."""

    def __init__(self, folder, starter):
        folder.mkdir(exist_ok=True)
        self._folder, self._starter = folder, starter

    def run(self, name):
        """A run of `RUNS`, which is only read."""
        workdir, out = self._folder / name, self._folder / f"{name}.out"
        with (self._folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not out.exists():
                text = self._starter.run(*RUNS[name], f"--workdir={workdir}").out
                out.write_text(text)
        return Finished(workdir, out.read_text())

    def copy(self, name, to):
        """A copy of one, to be changed."""
        found = self.run(name)
        shutil.copytree(found.workdir, to)
        return Finished(to, found.out)
