r"""Trains a model: `python -m jaxgen.main --config=configs/glow.py`.

    --config=configs/glow.py:cifar10       a preset of the config; glow:cifar10 in any folder
    --config.train.steps=1000              any of its fields
    --workdir=DIR                          default runs/<config>-<data>; the same command resumes
    --restart                              starts anew there; what is there is moved aside
    --dry_run                              print what would run; =full: its fields too

Exit codes: 0 finished, 2 bad config or data, 1 failed, 143 stopped by SIGTERM and 130 by Ctrl-C,
both after saving, 134 another process died.
"""

from __future__ import annotations

import contextlib
import functools
import pathlib
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from absl import flags
from ml_collections import config_flags

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file(
    "config", None, "The config, as NAME, configs/NAME.py or either:PRESET.", lock_config=True
)
flags.DEFINE_string(
    "workdir", None, "The run directory; the same one resumes. Default: runs/<config>-<data>."
)
flags.DEFINE_enum(
    "dry_run",
    "off",
    ["off", "summary", "full"],
    "Print data, parameters, memory and steps, with =full the config too; train nothing.",
)
flags.DEFINE_bool(
    "restart",
    False,
    "Start anew over the work in --workdir, which is moved to a folder before-restart-TIME in it.",
)
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
HELP = {"help", "h", "helpfull", "helpshort"}
RANGES = {
    "num_processes": (1, 2**20),
    "process_id": (0, 2**20),
    "heartbeat_timeout": (1, 86_400),
}


def main() -> int:
    """Parses the command line and runs its config.

    Raises:
        ConfigError: for a command line that says nothing to run.
    """
    from jaxgen.config import ConfigError

    asked = {word.lstrip("-") for word in sys.argv[1:] if word.startswith("-")}
    if asked & HELP:
        print(help_text())
        return 0
    if "version" in asked:
        from jaxgen import __version__

        print(f"jaxgen {__version__}")
        return 0
    rest = parse_flags(sys.argv)
    if len(rest) > 1:
        raise ConfigError(f"unexpected argument {rest[1]!r}; options are given as --name=value")
    if FLAGS.config is None:
        raise ConfigError("no config; try --config=configs/glow.py (see --help)")
    check_flags()
    return run(FLAGS.config.to_dict(), _config_name())


def help_text() -> str:
    """What this file says of itself, and its flags."""
    own = FLAGS.flags_by_module_dict()[FLAGS.find_module_defining_flag("workdir")]
    lines = []
    for flag in sorted(own, key=lambda flag: flag.name):
        if not flag.name.startswith("config."):
            name = flag.name if flag.boolean else f"{flag.name}={_example(flag)}"
            lines.append(f"    --{name}\n        {flag.help.rpartition('>: ')[2]}")
    return f"{__doc__.strip()}\n\nFlags:\n\n" + "\n".join(lines)


def _example(flag: Any) -> str:
    """What may follow the name of a flag."""
    return "|".join(getattr(flag.parser, "enum_values", None) or [flag.name.upper()])


def check_flags() -> None:
    """Refuses numbers of flags out of range.

    Raises:
        ConfigError: naming the range.
    """
    from jaxgen.config import ConfigError

    for name, (least, most) in RANGES.items():
        value = FLAGS[name].value
        if value is not None and not least <= value <= most:
            raise ConfigError(f"--{name}={value}, expected a whole number from {least} to {most}")


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
    from jaxgen.claim import claim, owned

    dry = FLAGS.dry_run != "off"
    own = functools.partial(owned, path, config, FLAGS.restart)
    lock = None
    with contextlib.ExitStack() as held:  # before the slow imports: a refusal comes at once
        if dry or FLAGS.distributed != "off":
            if not FLAGS.restart:
                claim(path, config)
        else:
            lock = held.enter_context(own())
        if FLAGS.distributed != "off":
            _join()
            if not dry:
                from jaxgen.processes import together

                lock = held.enter_context(together(own))
        return _train(config, path, lock)


def _train(config: Mapping[str, Any], path: str, lock: Any) -> int:
    import jax

    from jaxgen.session import dry_run, execute
    from jaxgen.train.stop import Stopped

    try:
        if FLAGS.dry_run != "off":
            dry_run(config, path, full=FLAGS.dry_run == "full")
        else:
            execute(config, path, _command(), lock.check if lock else lambda: None)
    except Stopped as stopped:
        if jax.process_index() == 0:
            print(f"{stopped}. Resume with:\n  {_command()}", flush=True)
        return stopped.exit_code
    return 0


def _config_name() -> str:
    return pathlib.Path(config_flags.get_config_filename(FLAGS["config"])).stem


def _command() -> str:
    again = [a for a in sys.argv[1:] if a.lstrip("-").partition("=")[0] != "restart"]
    return shlex.join(["python", "-m", "jaxgen.main", *again])


def _join() -> None:
    from jaxgen.processes import explicit, join

    names = ("coordinator_address", "num_processes", "process_id")
    given = {name: FLAGS[name].value for name in names}
    join(FLAGS.heartbeat_timeout, **(explicit(given) if FLAGS.distributed == "explicit" else {}))


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, but a mistake is one line and exit code 2.

    Raises:
        ConfigError: explaining what was typed.
    """
    from jaxgen.config import ConfigError
    from jaxgen.shipped import located

    argv = ["--dry_run=summary" if word.lstrip("-") == "dry_run" else word for word in argv]
    for i, word in enumerate(argv):
        flag, equals, value = word.partition("=")
        if flag.lstrip("-") == "config" and flag != "config":
            if equals:
                argv[i] = f"{flag}={located(value)}"
            elif i + 1 < len(argv):
                argv[i + 1] = located(argv[i + 1])
    try:
        rest = FLAGS(argv)
        if FLAGS.config is not None:
            FLAGS.config.to_dict()  # absl reports a file that could not be loaded only now
    except (Exception, SystemExit) as error:  # a config is code: it may raise anything
        from jaxgen.mistakes import explain

        raise ConfigError(explain(argv, error)) from error
    return rest


def cli() -> None:
    """Entry point."""
    from jaxgen.boundary import guarded
    from jaxgen.signals import interruptible

    interruptible()
    guarded(main)


if __name__ == "__main__":
    cli()
