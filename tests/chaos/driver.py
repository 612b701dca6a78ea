"""Kills, damages and resumes runs at seeded moments, and compares them with undisturbed ones.

    python tests/chaos/driver.py --configs=all --moments=5 --seed=0 --out=chaos.jsonl
    python tests/chaos/driver.py --configs=glow,vae --out=chaos.jsonl
    python tests/chaos/driver.py --table --out=chaos.jsonl        what was measured, as Markdown

Each config's `tiny`, of four times its steps, runs to its end, twice; then once more, and is struck
at so many moments: at its start, after a row, in the write of a checkpoint, in an evaluation, at
its samples, at its summary; by SIGKILL, SIGTERM, SIGINT, or SIGSTOP then SIGKILL. After about half
of the moments files are damaged, those of the prepared data among them. In the end state digest,
summary, rows (without speed) and grids must be those of the undisturbed run, no row that was once
written may be missing, and what was set aside must be there.

One line of JSON a config is appended to `--out` when it is done; the same command again leaves out
the configs that are there. Exit code 1 if any differs.
"""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import sys
import tempfile
import time

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from chaos_compare import differences, lost
from command import DENSE, ROOT, Starter
from damages import DAMAGES
from moments import Moment, lines

LIMIT = 1800  # seconds after which a run counts as hanging, on a busy machine


def plan(name, seed):
    """The random numbers of a config: the same for the same seed."""
    return random.Random(f"{seed} {name}")


class Chaos:
    """One config: its undisturbed run, and one that is struck.

    Attributes:
        job: the last command that ran.
        moments: struck so far, each as a dict, with what was damaged after it.
        faults: what a run did that it must not, in words.
    """

    def __init__(self, starter, folder, flags, steps, rng, data, damages=DAMAGES, limit=LIMIT):
        self._starter, self._folder, self._flags = starter, folder, tuple(flags)
        self._steps, self._rng, self._data, self._limit = steps, rng, data, limit
        self._damages = sorted(damages)
        self.workdir, self.moments, self.faults = folder / "struck", [], []
        self._written, self._set_aside, self.job = [], 0, None
        self._mine, self._fragments = set(), []
        self._usual_start = 5.0

    def whole(self, name="whole"):
        """The run that nothing disturbs."""
        began = time.monotonic()
        job = self._starter.run(*self._command(name), limit=self._limit)
        self._usual_start = 0.7 * (time.monotonic() - began)
        return job

    def strike(self, left, moment=None, damage=None):
        """Starts the run, ends it at a moment, and damages it: by the plan, unless told.

        Args:
            left: moments that shall follow.
            moment: to take; None draws it.
            damage: a name in `DAMAGES`; None draws one, or none; "" takes none.
        """
        self.job = self._start()
        steps = self._steps
        moment = moment or Moment.draw(self._rng, self.workdir, steps, left)
        code = moment.strike(self.job, self._usual_start, self._limit)
        self._seen(self.job)
        if moment.caught == "missed" and code:
            self.faults.append(f"exit code {code}: {self.job.err or self.job.out}")
        if moment.caught != "missed" and code not in moment.allowed():
            said = (self.job.err or self.job.out).strip().splitlines()
            text = f"{moment.how} in {moment.caught}: exit code {code}: {said[-1:]}"
            self.faults.append(text)
        if damage is None and self._rng.random() < 0.55:
            damage = self._rng.choice(self._damages)
        done = DAMAGES[damage](self._rng, self.workdir, self._data) if damage else None
        self._mine |= {p for p in self.workdir.rglob("notes on*")}
        if done and damage == "torn":
            self._fragments.append((self.workdir / "metrics.jsonl").read_text().splitlines()[-1])
        row = {"phase": moment.caught, "aimed": moment.phase, "how": moment.how, "code": code}
        self.moments.append(row | {"step": moment.step, "damage": done, "kind": done and damage})

    def finish(self):
        """Runs to the end."""
        self.job = self._start().wait(limit=self._limit)
        self._seen(self.job)
        if self.job.code:
            said = (self.job.err or self.job.out).strip()
            self.faults.append(f"the last run ended with exit code {self.job.code}: {said}")
        return self.job

    def compare(self, whole):
        """All that differs from the undisturbed run, and all that was lost, in words."""
        found = self.faults + differences(self.workdir, whole.workdir)
        found += lost(self.workdir, self._written)
        kept = len(list(self.workdir.glob("checkpoints/corrupt-*")))
        if kept < self._set_aside:
            found.append(f"{self._set_aside} checkpoints were set aside, {kept} are there")
        found += [f"lost: {path}" for path in sorted(self._mine) if not path.exists()]
        rejected = self.workdir / "metrics.rejected.jsonl"
        kept = rejected.read_text() if rejected.exists() else ""
        found += [f"lost: the line {text!r}" for text in self._fragments if text not in kept]
        return found

    def _start(self):
        data = {"JAXGEN_DATA_DIR": str(self._data)}
        return self._starter.start(*self._command("struck"), **data)

    def _command(self, name):
        return (*self._flags, f"--workdir={self._folder / name}")

    def _seen(self, job):
        """Remembers the rows that were on disk, and what was set aside."""
        for row in lines(self.workdir):
            if row not in self._written and row.get("step", 0) <= self._steps:
                self._written.append(row)
        self._set_aside += len(re.findall("^checkpoint of step .*set aside as", job.out, re.M))
        if "Traceback" in job.err:
            self.faults.append(f"a traceback: {job.err.strip().splitlines()[-1]}")


def run(name, flags, steps, starter, folder, data, moments, seed, damages):
    """The line of JSON of one config."""
    began, rng = time.monotonic(), plan(name, seed)
    chaos = Chaos(starter, folder, flags, steps, rng, folder / "data", damages)
    whole = chaos.whole()
    again = chaos.whole("again")
    shutil.copytree(data, folder / "data")
    control = not differences(again.workdir, whole.workdir)
    struck = []
    while len(struck) < moments and len(chaos.moments) < 2 * moments:
        chaos.strike(moments - len(struck) - 1)
        struck = [m for m in chaos.moments if m["phase"] != "missed"]
    chaos.finish()
    found = chaos.compare(whole)
    return {
        "config": name,
        "seed": seed,
        "steps": steps,
        "digest": whole.digest,
        "control": control,
        "asked": moments,
        "kills": len(struck),
        "missed": len(chaos.moments) - len(struck),
        "damages": sum(m["damage"] is not None for m in chaos.moments),
        "rows": len(lines(whole.workdir)),
        "differences": found,
        "moments": chaos.moments,
        "seconds": round(time.monotonic() - began),
    }


def configs():
    """name -> (flags, steps) of every config's default preset, tiny and four times as long."""
    from test_main import CONFIGS, get_config

    found = {}
    for path in CONFIGS:
        if "frozen" in get_config(path, "tiny"):  # needs a first stage
            continue
        steps = 4 * get_config(path, "tiny")["train"]["steps"]
        flags = (f"--config={path}:tiny", *DENSE, f"--config.train.steps={steps}")
        found[pathlib.Path(path).stem] = (flags, steps)
    return found


def done(path):
    """Lines of the results so far."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def table(rows):
    """What was measured, as Markdown."""
    out = ["| config | struck in | damaged | same, nothing lost |", "|---|---|---|---|"]
    moments = [m for row in rows for m in row["moments"]]
    struck = [m for m in moments if m["phase"] != "missed"]
    for row in sorted(rows, key=lambda r: r["config"]):
        phases = ", ".join(m["phase"] for m in row["moments"] if m["phase"] != "missed")
        kinds = ", ".join(m["kind"] for m in row["moments"] if m["damage"]) or "-"
        same = "NO" if row["differences"] else "yes"
        out.append(f"| {row['config']} | {phases} | {kinds} | {same} |")
    same = sum(not row["differences"] for row in rows)
    hows = [m["how"] for m in struck]
    counts = ", ".join(f"{hows.count(how)} {how}" for how in sorted(set(hows)))
    damages = sum(m["damage"] is not None for m in moments)
    controls = sum(row["control"] for row in rows)
    out += ["", f"{len(rows)} configs, {len(struck)} kills ({counts}), {damages} damages, "]
    out[-1] += f"{same} of {len(rows)} the same; undisturbed twice: {controls} the same."
    return "\n".join(out)


def started(base):
    """A starter of runs with prepared data and compiled programs of their own, and the data."""
    environment = {"JAXGEN_DATA_DIR": str(base / "data"), "JAX_PLATFORMS": "cpu"}
    environment |= {"JAX_COMPILATION_CACHE_DIR": str(base / "compiled")}
    if "XLA_FLAGS" not in os.environ:  # as tests do: compile fast
        environment["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
    (base / "output").mkdir(parents=True, exist_ok=True)
    return Starter(base / "output", **environment), base / "data"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--configs", default="all", help="names of configs/*.py, by commas")
    parser.add_argument("--moments", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("chaos.jsonl"))
    parser.add_argument("--damages", default=",".join(DAMAGES), help="to draw from, by commas")
    parser.add_argument("--keep", type=pathlib.Path, help="leave the run directories here")
    parser.add_argument("--table", action="store_true", help="print the results so far")
    arguments = parser.parse_args(argv)
    if arguments.table:
        print(table(done(arguments.out)))
        return 0
    known = configs()
    names = sorted(known) if arguments.configs == "all" else arguments.configs.split(",")
    if unknown := set(names) - set(known):
        parser.error(f"unknown {sorted(unknown)}, expected some of {', '.join(sorted(known))}")
    if unknown := set(arguments.damages.split(",")) - set(DAMAGES):
        parser.error(f"unknown {sorted(unknown)}, expected some of {', '.join(DAMAGES)}")
    before = {(r["config"], r["seed"], r["asked"]) for r in done(arguments.out)}
    names = [n for n in names if (n, arguments.seed, arguments.moments) not in before]
    base = arguments.keep or pathlib.Path(tempfile.mkdtemp(prefix="chaos-"))
    starter, data = started(base)
    bad = sum(bool(r["differences"]) for r in done(arguments.out))
    try:
        for name in names:
            flags, steps = known[name]
            folder = base / name
            shutil.rmtree(folder, ignore_errors=True)
            try:
                options = arguments.moments, arguments.seed, arguments.damages.split(",")
                row = run(name, flags, steps, starter, folder, data, *options)
            except AssertionError as error:
                row = {"config": name, "seed": arguments.seed, "error": str(error)[-2000:]}
                print(json.dumps(row), flush=True)
                bad += 1
                continue
            with open(arguments.out, "a") as file:
                file.write(json.dumps(row) + "\n")
            bad += bool(row["differences"]) or not row["control"]
            shown = {k: row[k] for k in ("config", "kills", "damages", "control", "seconds")}
            print(json.dumps(shown | {"differences": row["differences"]}), flush=True)
            if not arguments.keep and not row["differences"]:
                shutil.rmtree(folder)
    finally:
        starter.close()
    print(table(done(arguments.out)))
    print(f"run directories: {base}" if arguments.keep or bad else "")
    if not arguments.keep and not bad:
        shutil.rmtree(base)
    return int(bad > 0)


if __name__ == "__main__":
    assert ROOT.exists()
    sys.exit(main())
