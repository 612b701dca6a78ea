"""When a run is struck, and how: `Moment` waits for a phase of a running command and ends it."""

import dataclasses
import json
import math
import signal
import time

from command import EVALUATE_EVERY, LIMIT, SAVE_EVERY

PHASES = ("start", "row", "checkpoint", "evaluation", "samples", "summary")
CODES = {"SIGKILL": {-9}, "STOP": {-9}, "SIGTERM": {143}, "SIGINT": {130}}
BEFORE_HANDLERS = {"SIGTERM": {-15}, "SIGINT": {-2}}  # while Python still imports
POLL = 0.001  # seconds
STOPPED_FOR = 0.5  # seconds between SIGSTOP and SIGKILL


def lines(workdir):
    """The complete rows of metrics.jsonl, without speeds."""
    path, found = workdir / "metrics.jsonl", []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:  # torn
            continue
        found.append({k: v for k, v in row.items() if not k.endswith("_per_second")})
    return found


def reached(workdir, split="train"):
    """The last step with a row of a split whose name begins so; 0 without one."""
    return max((row["step"] for row in lines(workdir) if row["split"].startswith(split)), default=0)


def _changed(workdir):
    """Another value whenever metrics.jsonl is another."""
    path = workdir / "metrics.jsonl"
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size


@dataclasses.dataclass
class Moment:
    """A phase of a run, at a step beyond where it was, and how the process ends.

    Attributes:
        phase: one of `PHASES`.
        step: of it.
        after: seconds from the start of the process, of the phase "start".
        how: a signal, or "STOP": SIGSTOP, then SIGKILL.
        caught: the phase that the process was in when it was struck; "missed": it had ended.
    """

    phase: str
    step: int
    after: float
    how: str
    caught: str = ""

    @classmethod
    def draw(cls, rng, workdir, steps, left):
        """A moment between where the run is and its end, which leaves room for `left` more."""
        at = reached(workdir)
        how = rng.choice(["SIGKILL", "SIGKILL", "SIGTERM", "SIGINT", "STOP"])
        phase = rng.choice(PHASES)
        if (workdir / "summary.json").exists():  # nothing is left to do
            phase = "start"
        elif at >= steps - 1:
            phase = rng.choice(["start", "summary"])
        elif phase == "summary" and left:
            phase = "row"
        step = at + 1 + rng.randrange(max(1, (steps - 1 - at) // (left + 1)))
        every = {"checkpoint": SAVE_EVERY, "evaluation": EVALUATE_EVERY, "samples": EVALUATE_EVERY}
        if phase in every:
            step = every[phase] * math.ceil(step / every[phase])
            if step > steps:
                phase, step = "row", at + 1
        return cls(phase, min(step, steps), rng.uniform(0.0, 1.0), how)

    def now(self, job, began, usual_start):
        """The phase that the run is in, if it is this moment's or one too late for it."""
        workdir = job.workdir
        if self.phase == "start":
            if time.monotonic() - began >= self.after * usual_start:
                return "start"
            return None
        if self.phase == "checkpoint":
            if any(workdir.glob(f"checkpoints/{self.step}.orbax-checkpoint-tmp*")):
                return "checkpoint"
            return "row" if reached(workdir) >= self.step + 2 else None
        if self.phase == "summary":
            if any(workdir.glob(".summary.json.*")) or f"step {self.step}: evaluated" in job.out:
                return "summary"
            return None
        if self.phase == "samples":
            return "samples" if reached(workdir, "eval") >= self.step else None
        return self.phase if reached(workdir) >= self.step else None

    def strike(self, job, usual_start, limit=LIMIT):
        """Waits for the phase, ends the process, and says how it ended: its exit code."""
        began, seen = time.monotonic(), None
        while job.poll() is None:
            assert time.monotonic() - began < limit, f"nothing in {limit} s: {job.out}{job.err}"
            size = _changed(job.workdir)
            if self.phase in ("row", "evaluation", "samples") and size == seen:
                time.sleep(POLL)  # reading is work that the run would miss
                continue
            seen = size
            if phase := self.now(job, began, usual_start):
                self.caught = phase
                break
            time.sleep(POLL)
        else:
            self.caught = "missed"
            return job.code
        if self.how == "STOP":
            job.kill(signal.SIGSTOP)
            time.sleep(STOPPED_FOR)
            job.kill(signal.SIGKILL)
        else:
            job.kill(signal.Signals[self.how])
        return job.wait(limit=limit).code

    def allowed(self):
        """Exit codes that are right for a process that was struck."""
        codes = set(CODES[self.how])
        if self.caught == "start":
            codes |= BEFORE_HANDLERS.get(self.how, set())
        return codes | (
            {0} if self.how in ("SIGTERM", "SIGINT") else set()
        )  # had nothing left to do
