"""Runs `python -m jaxgen.main` as a user does, without waiting for its imports every time.

`Starter` is one process that has imported JAX and forks a child for each run: a process of its
own, with its own signals, devices, standard error and exit code. As a script this file is that
process: JSON requests on standard input, JSON answers on standard output.
"""

import gc
import json
import os
import pathlib
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
TINY = "--config=configs/nice.py:digits,tiny"  # the fastest to compile
GLOW = "--config=configs/glow.py:digits,tiny"
SAVE_EVERY, EVALUATE_EVERY = 4, 8  # steps
DENSE = (
    "--config.train.log_every_steps=1",
    f"--config.train.save_every_steps={SAVE_EVERY}",
    f"--config.evaluate.every_steps={EVALUATE_EVERY}",
    f"--config.evaluate.sample_every_steps={EVALUATE_EVERY}",
)
LIMIT = 120  # seconds after which a run counts as hanging


class Job:
    """A running command.

    Attributes:
        pid: of its process.
        workdir: its run directory, as a path, None without one.
    """

    def __init__(self, starter, pid, argv, out, err):
        self.pid, self.code = pid, None
        self._starter, self._out, self._err = starter, out, err
        dirs = [a.partition("=")[2] for a in argv if a.startswith("--workdir=")]
        self.workdir = pathlib.Path(dirs[-1]) if dirs else None

    def kill(self, signum=signal.SIGKILL):
        os.kill(self.pid, signum)
        return self

    def poll(self):
        """The exit code; None while it runs."""
        if self.code is None:
            self.code = self._starter.ask(op="wait", pid=self.pid, limit=0)
        return self.code

    def until(self, condition, limit=LIMIT):
        """Waits for `condition()`; fails when the process ends before."""
        start = time.monotonic()
        while not condition():
            assert time.monotonic() - start < limit, f"nothing happened in {limit} s: {self.err}"
            assert self.poll() is None, f"ended too early: {self.out}{self.err}"
            time.sleep(0.0005)
        return self

    def wait(self, code=None, limit=LIMIT):
        """Waits for the end; asserts the exit code where one is given (-9 for SIGKILL)."""
        if self.code is None:
            self.code = self._starter.ask(op="wait", pid=self.pid, limit=limit)
        if self.code is None:
            self.kill()
            raise AssertionError(f"still running after {limit} s: {self.out}{self.err}")
        if code is not None:
            assert self.code == code, (
                f"exit code {self.code}, expected {code}: {self.out}{self.err}"
            )
        return self

    @property
    def out(self):
        return self._out.read_text()

    @property
    def err(self):
        return self._err.read_text()

    @property
    def error(self):
        """What it printed as its error: one line, no traceback."""
        assert self.err.startswith("jaxgen: error: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("jaxgen: error: ").rstrip("\n")

    @property
    def summary(self):
        return json.loads((self.workdir / "summary.json").read_text())

    @property
    def digest(self):
        return self.summary["state_digest"]


class Starter:
    """Starts runs; `folder` takes what they print, `env` is added to their environment."""

    def __init__(self, folder, **env):
        self._folder, self._count = folder, 0
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])} | env,
        )

    def ask(self, **request):
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return json.loads(self._server.stdout.readline())

    def start(self, *argv, devices=1, cwd=ROOT, largest_file=None, **env):
        """Starts `python -m jaxgen.main *argv`.

        Args:
            *argv: flags.
            devices: fake CPU devices.
            cwd: where it starts.
            largest_file: bytes; writing more to one file fails, as on a full disk.
            **env: variables on top of this process's own.
        """
        self._count += 1
        out, err = (self._folder / f"{self._count:03}.{end}" for end in ("out", "err"))
        out.touch(), err.touch()
        argv = [str(a) for a in argv]
        request = dict(argv=argv, devices=devices, cwd=str(cwd), env=env, largest_file=largest_file)
        pid = self.ask(op="start", out=str(out), err=str(err), **request)
        return Job(self, pid, argv, out, err)

    def run(self, *argv, code=0, limit=LIMIT, **options):
        """Runs to the end and asserts the exit code."""
        return self.start(*argv, **options).wait(code, limit)

    def close(self):
        self._server.stdin.close()
        self._server.wait(timeout=30)
        self._server.stdout.close()


def rows(workdir, split=None):
    """The metrics of a run without their speed."""
    found = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    found = [{k: v for k, v in row.items() if not k.endswith("_per_second")} for row in found]
    return [row for row in found if split in (None, row["split"])]


def saved(workdir):
    """Steps of the complete checkpoints."""
    return sorted(int(p.name) for p in (workdir / "checkpoints").glob("*") if p.name.isdigit())


def has_row(workdir, step):
    """Whether the metrics of `step` have been written, as a condition for `Job.until`."""
    path = workdir / "metrics.jsonl"
    return lambda: path.exists() and f'"step": {step},' in path.read_text()


def _serve():
    import grain  # noqa: F401
    import jax
    import orbax.checkpoint  # noqa: F401
    import tensorboardX  # noqa: F401

    import jaxgen.session  # noqa: F401

    gc.collect()
    gc.freeze()  # a child's collections leave alone what was imported: its end takes half the time
    children = set()
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "start":
            pid = os.fork()
            if not pid:
                return _become(request, jax)
            children.add(pid)
            answer = pid
        else:
            answer = _wait(request["pid"], request["limit"])
            if answer is not None:
                children.discard(request["pid"])
        print(json.dumps(answer), flush=True)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    return None


def _wait(pid, limit):
    end = time.monotonic() + limit
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(0.01)


def _become(request, jax):
    """The child: turns into `python -m jaxgen.main`."""
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(os.open(request["out"], flags), 1)
    os.dup2(os.open(request["err"], flags), 2)
    if request["largest_file"]:
        _relay_errors()
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"],) * 2)
        # JAX would leave half of a program in the cache, for all runs to come
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1e9)
    jax.config.update("jax_num_cpu_devices", request["devices"])
    sys.argv = ["main", *request["argv"]]
    runpy.run_module("jaxgen.main", run_name="__main__", alter_sys=True)


def _relay_errors():
    """Goes on in a child whose standard error is a pipe: no limit on files cuts it short."""
    source, sink = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(source)
        os.dup2(sink, 2)
        return
    os.close(sink)
    with open(source, "rb") as pipe, open(2, "wb") as err:
        shutil.copyfileobj(pipe, err)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)


if __name__ == "__main__":
    _serve()
