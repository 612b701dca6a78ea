"""Prints the command that each process of a YAML launch file would run, and starts none of them.

python launch/show.py launch/jobset_gpu.yaml
"""

import pathlib
import shlex
import subprocess
import sys
from collections.abc import Iterator

import yaml

# `run` blocks are shell: bash itself expands them, with a `python` that only lists its arguments
# and a PATH on which it finds no other program.
STUB = "set -eu; PATH=/nonexistent; python() { printf '%s\\0' python \"$@\"; }\n"


def jobset_commands(spec: dict) -> Iterator[str]:
    """Yields one line per pod of a JobSet, with what the pod's index sets."""
    for job in spec["spec"]["replicatedJobs"]:
        for index in range(job["template"]["spec"]["completions"]):
            for container in job["template"]["spec"]["template"]["spec"]["containers"]:
                line = shlex.join(container["command"] + container["args"])
                yield f"JAXGEN_PROCESS_ID={index} {line}"


def sky_commands(spec: dict) -> Iterator[str]:
    """Yields one line per node of a SkyPilot task, with stand-ins for what SkyPilot sets."""
    nodes = spec.get("num_nodes", 1)
    for rank in range(nodes):
        env = spec.get("envs", {}) | {
            "SKYPILOT_TASK_ID": "TASK_ID",
            "SKYPILOT_NODE_IPS": "\n".join(f"NODE_{i}" for i in range(nodes)),
            "SKYPILOT_NUM_NODES": str(nodes),
            "SKYPILOT_NODE_RANK": str(rank),
        }
        words = subprocess.check_output(
            ["/bin/bash", "--noprofile", "--norc", "-c", STUB + spec["run"]], env=env, text=True
        )
        yield shlex.join(words.removesuffix("\0").split("\0"))


def commands(path: str | pathlib.Path) -> list[str]:
    """Returns the command lines of the processes of a JobSet or SkyPilot file, in order."""
    spec = yaml.safe_load(pathlib.Path(path).read_text())
    return list(jobset_commands(spec) if spec.get("kind") == "JobSet" else sky_commands(spec))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python launch/show.py FILE.yaml")
    print("\n".join(commands(sys.argv[1])))
