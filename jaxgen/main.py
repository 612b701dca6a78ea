r"""Trains a model: `python -m jaxgen.main --config=configs/glow.py`.

    --config=configs/glow.py:cifar10       a preset of the config
    --config.train.steps=1000              any of its fields
    --workdir=DIR                          default runs/<config>-<data>; the same command resumes
    --dry_run                              print what would run, and train nothing

Exit codes: 0 finished, 2 bad config or data, 1 failed, 143 stopped by SIGTERM and 130 by Ctrl-C,
both after saving, 134 another process died.
"""

from __future__ import annotations

import pathlib
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from absl import app, flags
from ml_collections import config_flags

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file(
    "config", None, "The config, as configs/NAME.py or configs/NAME.py:PRESET.", lock_config=True
)
flags.DEFINE_string(
    "workdir", None, "The run directory; the same one resumes. Default: runs/<config>-<data>."
)
flags.DEFINE_bool("dry_run", False, "Print config, parameters, memory and data; train nothing.")
flags.DEFINE_enum(
    "distributed",
    "off",
    ["off", "auto", "explicit"],
    "Several processes: auto detects Slurm, Open MPI and TPU; explicit takes the flags below.",
)
flags.DEFINE_string("coordinator_address", None, "HOST:PORT of process 0, with explicit.")
flags.DEFINE_integer("num_processes", None, "Number of processes, with explicit.")
flags.DEFINE_integer(
    "process_id", None, "This process, with explicit; default: environment JAXGEN_PROCESS_ID."
)
flags.DEFINE_integer(
    "heartbeat_timeout", 60, "Seconds after which a silent process counts as dead."
)


def main(argv: list[str]) -> None:
    """Runs the flags' config; errors of the user's are one line."""
    from jaxgen.processes import leave, several

    if len(argv) > 1:
        leave(2, f"unexpected argument {argv[1]!r}; options are given as --name=value")
    if FLAGS.config is None:
        leave(2, "no config; try --config=configs/glow.py (see --help)")
    try:
        code = run(FLAGS.config.to_dict(), _config_name())
    except Exception as error:
        code, message = verdict(error)
        if message is None and not several():
            raise
        leave(code, message, error)
    sys.exit(code)


def verdict(error: Exception) -> tuple[int, str | None]:
    """The exit code of an error, and the line that explains it; None for one of the program's."""
    from jaxgen.config import ConfigError

    if isinstance(error, ConfigError):
        return 2, str(error)
    from jaxgen.data.dataset import DataError
    from jaxgen.processes import PEER_DIED, peer_died
    from jaxgen.train.checkpoint import CheckpointError
    from jaxgen.train.window import NonFinite

    if peer_died(error):
        first = " ".join(str(error.__cause__ or error).split())[:200]
        return PEER_DIED, (
            f"another process died ({first}); its own output says why. Start all of them again: "
            "the same command resumes from the newest checkpoint"
        )
    if isinstance(error, DataError):
        return 2, str(error)
    if isinstance(error, (CheckpointError, NonFinite, OSError)):
        return 1, str(error)
    return 1, None


def run(config: Mapping[str, Any], name: str) -> int:
    """Trains, or describes, one config.

    Args:
        config: resolved, as plain dictionaries.
        name: of the config, for the default run directory.

    Returns:
        The exit code.
    """
    from jaxgen.config import check_sections
    from jaxgen.platform import set_defaults

    set_defaults()
    check_sections(config)
    data = pathlib.Path(str(config["data"].get("name"))).name
    path = FLAGS.workdir or f"runs/{name}-{data}"
    from jaxgen.rundir import claim

    claim(path, config)  # before the slow imports: a foreign directory is refused at once
    if FLAGS.distributed != "off":
        _join()
    import jax

    from jaxgen.session import dry_run, execute
    from jaxgen.train.stop import Stopped

    try:
        if FLAGS.dry_run:
            dry_run(config, path)
        else:
            execute(config, path, command=_command())
    except Stopped as stopped:
        if jax.process_index() == 0:
            print(f"{stopped}; saved. Resume with:\n  {_command()}", flush=True)
        return stopped.exit_code
    return 0


def _config_name() -> str:
    return pathlib.Path(config_flags.get_config_filename(FLAGS["config"])).stem


def _command() -> str:
    return shlex.join(["python", "-m", "jaxgen.main", *sys.argv[1:]])


def _join() -> None:
    from jaxgen.processes import explicit, join

    names = ("coordinator_address", "num_processes", "process_id")
    given = {name: FLAGS[name].value for name in names}
    join(FLAGS.heartbeat_timeout, **(explicit(given) if FLAGS.distributed == "explicit" else {}))


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, but a mistake is one line and exit code 2."""
    try:
        rest = FLAGS(argv)
        if FLAGS.config is not None:
            FLAGS.config.to_dict()  # absl reports a file that could not be loaded only now
    except (flags.Error, AttributeError, KeyError, ValueError, TypeError, OSError) as error:
        from jaxgen.mistakes import explain
        from jaxgen.processes import leave

        leave(2, explain(argv, error), error)
    return rest


def cli() -> None:
    """Entry point."""
    app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
    cli()
