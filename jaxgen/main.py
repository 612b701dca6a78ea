r"""Trains a model: `python -m jaxgen.main --config=configs/glow.py`.

    --config=configs/glow.py:cifar10       a preset of the config
    --config.train.steps=1000              any of its fields
    --workdir=DIR                          default runs/<config>-<data>; the same command resumes
    --dry_run                              print what would run, and train nothing

Exit codes: 0 finished, 2 bad config or data, 1 failed, 143 stopped by SIGTERM and 130 by Ctrl-C,
both after saving, 134 another process died.
"""

from __future__ import annotations

import os
import pathlib
import shlex
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

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
    if len(argv) > 1:
        fail(2, f"unexpected argument {argv[1]!r}; options are given as --name=value")
    if FLAGS.config is None:
        fail(2, "no config; try --config=configs/glow.py (see --help)")
    from jaxgen.config import ConfigError

    try:
        sys.exit(run(FLAGS.config.to_dict(), _config_name()))
    except ConfigError as error:
        fail(2, str(error), error)


def fail(code: int, message: str, error: BaseException | None = None) -> NoReturn:
    """Prints one line (the traceback too under JAXGEN_DEBUG=1), and exits."""
    if error is not None and os.environ.get("JAXGEN_DEBUG"):
        raise error
    print(f"jaxgen: error: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


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
    _join()
    from jaxgen.data.dataset import DataError
    from jaxgen.session import dry_run, execute
    from jaxgen.train.checkpoint import CheckpointError
    from jaxgen.train.stop import Stopped
    from jaxgen.train.window import NonFinite

    try:
        if FLAGS.dry_run:
            dry_run(config, path)
        else:
            execute(config, path, command=_command())
    except DataError as error:
        fail(2, str(error), error)
    except Stopped as stopped:
        print(f"{stopped}; saved. Resume with:\n  {_command()}", flush=True)
        return stopped.exit_code
    except (CheckpointError, NonFinite) as error:
        fail(1, str(error), error)
    return 0


def _config_name() -> str:
    return pathlib.Path(config_flags.get_config_filename(FLAGS["config"])).stem


def _command() -> str:
    return shlex.join(["python", "-m", "jaxgen.main", *sys.argv[1:]])


def _join() -> None:
    """Joins the other processes, where there are any."""
    import jax

    if FLAGS.distributed == "off":
        return
    options: dict[str, Any] = {"heartbeat_timeout_seconds": FLAGS.heartbeat_timeout}
    if FLAGS.distributed == "explicit":
        options |= _explicit()
    jax.distributed.initialize(**options)
    if jax.process_index() == 0:
        print(
            f"{jax.process_count()} processes; if one dies, the others end within "
            f"{FLAGS.heartbeat_timeout} s or little more (exit code 134): start all of them again",
            flush=True,
        )


def _explicit() -> dict[str, Any]:
    from jaxgen.config import ConfigError

    process = FLAGS.process_id
    if process is None and "JAXGEN_PROCESS_ID" in os.environ:
        process = int(os.environ["JAXGEN_PROCESS_ID"])
    given = {
        "coordinator_address": FLAGS.coordinator_address,
        "num_processes": FLAGS.num_processes,
        "process_id": process,
    }
    missing = [f"--{k}" for k, v in given.items() if v is None]
    if missing:
        raise ConfigError(f"--distributed=explicit needs {', '.join(missing)}")
    return given


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, but a mistake in the config is one line and exit code 2."""
    try:
        return app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError, ValueError, TypeError, OSError) as error:
        fail(2, _explain(argv, error), error)


def _explain(argv: list[str], error: Exception) -> str:
    """What a failed parse means, in terms of what was typed."""
    text = " ".join(" ".join(str(a) for a in error.args).replace("\\n", " ").split())
    typed = [a for a in argv if a.startswith(("--config", "-config"))]
    file = next((a.partition("=")[2] for a in typed if a.partition("=")[0][-6:] == "config"), "")
    path = pathlib.Path(file.partition(":")[0])
    if file and not path.exists():
        from jaxgen.config import unknown

        known = [str(p) for p in sorted(pathlib.Path("configs").rglob("*.py"))]
        return unknown("config file", str(path), known)
    if isinstance(error, (AttributeError, KeyError)):
        text = _unknown_field(typed, path) or text
    return text


def _unknown_field(typed: list[str], path: pathlib.Path) -> str | None:
    """The message for an override of a field that the config does not have."""
    from jaxgen.config import flatten, unknown

    config = _load(path, typed)
    if config is None:
        return None
    known = {f"config.{k}" for k in (*flatten(config), *config)}
    known |= {k.rpartition(".")[0] for k in known}
    for argument in typed:
        name = argument.lstrip("-").partition("=")[0]
        if name != "config" and name not in known:
            return unknown("config field", name, known)
    return None


def _load(path: pathlib.Path, typed: list[str]) -> Mapping[str, Any] | None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("jaxgen_config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    value = next(a.partition("=")[2] for a in typed if a.partition("=")[0].endswith("config"))
    arg = value.partition(":")[2]
    try:
        return (module.get_config(arg) if arg else module.get_config()).to_dict()
    except ValueError:
        return None


def cli() -> None:
    """Entry point."""
    app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
    cli()
