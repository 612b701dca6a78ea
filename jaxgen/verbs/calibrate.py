"""`jaxgen calibrate`: tests and draws the posteriors of a run."""

from __future__ import annotations

import argparse
import json
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.tools.arguments import add_places, add_run, add_seed, load_run, places
from jaxgen.tools.outputs import add_out, output
from jaxgen.tools.ranges import COUNT

PYTHON = "jaxgen.run.Run.calibrate"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    calibrate = commands.add_parser("calibrate", help="test and plot a run's posteriors")
    calibrate.set_defaults(command=run)
    add_run(calibrate)
    calibrate.add_argument("--num", type=COUNT, default=500, help="data sets, of the test split")
    calibrate.add_argument("--draws", type=COUNT, default=99, help="from each posterior")
    add_seed(calibrate, "of the draws")
    add_places(calibrate)
    add_out(calibrate, ".png of the plot; default: in the run", ".png")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Ranks parameters among draws, draws their histograms, prints what the ranks say."""
    from jaxgen.abilities import Infers
    from jaxgen.evaluate.gallery import read_arrays
    from jaxgen.evaluate.metrics.calibration import Calibration, calibration_picture
    from jaxgen.pictures import save_png

    found = load_run(arguments)
    if not isinstance(found.method, Infers):
        raise ConfigError(
            f"{arguments.run} infers no parameters, so it has no posteriors to test: calibrate is "
            "of runs of configs/npe.py, nle.py and nre.py; use jaxgen eval"
        )
    asked = {"num": arguments.num, "draws": arguments.draws, "seed": arguments.seed}
    out = output(arguments, found, "calibration", ".png", **asked)
    options = {"observations": arguments.num, "draws": arguments.draws, "seed": arguments.seed}
    found.measure("calibration", **options, **places(arguments))
    result = Calibration(**read_arrays(found.directory.path / "evaluation", "calibration"))
    save_png(out, calibration_picture(result))
    where = {"run": str(found.directory.path), "step": found.step, "plot": str(out)}
    print(json.dumps(where | result.report(), indent=1))
