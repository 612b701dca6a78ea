"""Fidelity against diversity over the scale of guidance, by dropped labels and by a classifier.

    python benchmarks/guidance.py RUN,JUDGE [RUN,JUDGE ...] [--num=2000] [--manual_dir=DIR]
        [--scales=0.5,1,1.5,2,4,8] [--out=guidance.png]

RUN is a model of diffusion that is given the class, JUDGE the classifier of its noised data
(configs/adm_classifier.py). For each scale, RUN at `--guidance=SCALE`, and without the class at
`--guidance=0 --classifier=JUDGE --scale=SCALE`: samples read as the class asked for, recall
(diversity), precision, and the Frechet distance over the trace of the covariance, all in features
of the embedded classifier, of `Run.measure`. What was measured before is not measured again.
Writes a table, and a figure of a row for each RUN.
"""

import argparse
import pathlib

import jaxgen
from jaxgen.evaluate import measurement

SHOWN = {
    "class_accuracy": "read as asked, %",
    "recall": "recall",
    "precision": "precision",
    "fcd_ratio": "Frechet ratio",
}
WAYS = {"guidance": "dropped labels", "scale": "classifier"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN,JUDGE")
    parser.add_argument("--num", type=int, default=2000)
    parser.add_argument("--scales", default="0.5,1,1.5,2,4,8")
    parser.add_argument("--manual_dir")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("guidance.png"))
    arguments = parser.parse_args()
    places = {"manual_dir": arguments.manual_dir} if arguments.manual_dir else {}
    scales = [float(s) for s in arguments.scales.split(",")]
    rows = []
    for pair in arguments.runs:
        run, _, judge = pair.partition(",")
        rows.append(curves(run, judge, scales, num=arguments.num, **places))
    draw(rows, scales, arguments.out)


def curves(path, judge, scales, **options):
    """way -> scale -> name -> (value, low, high), printed as it comes."""
    run = jaxgen.load(path)
    found = {}
    for way, scale in [(way, scale) for way in WAYS for scale in scales]:
        guided = run.guided_by(judge) if way == "scale" else run
        knobs = {"guidance": scale} if way == "guidance" else {"guidance": 0.0, "scale": scale}
        values = measured(guided, knobs, **options)
        found.setdefault(way, {})[scale] = values
        line = "  ".join(f"{name} {values[name][0]:.4f}" for name in SHOWN)
        print(f"{run.spec.name:8} {WAYS[way]:15} {scale:4}  {line}", flush=True)
    return run.spec.name, found


def measured(run, knobs, **options):
    """name -> (value, low, high)."""
    known = read(run, knobs)
    if not set(SHOWN) <= set(known):
        run.measure("fd,pr,classes", knobs=knobs, **options)
        known = read(run, knobs)
    return known


def read(run, knobs):
    """What the run's measurements say of these knobs, by the name without the features."""
    folder = run.directory.path / "evaluation"
    if not (folder / measurement.FILE).exists():
        return {}
    settings = dict(knobs) | dict(run.guide)
    return {
        m["name"].partition("-")[0]: (m["value"], m["low"], m["high"])
        for m in measurement.load(folder)["measurements"]
        if m["settings"] == settings
    }


def draw(rows, scales, out):
    """Writes the figure: a row for each run, a column for each number."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(SHOWN), 2.8 * len(rows)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(len(rows), len(SHOWN), squeeze=False)
    for line, (name, found) in zip(places, rows, strict=True):
        for axes, (number, title) in zip(line, SHOWN.items(), strict=True):
            factor = 100 if "%" in title else 1
            for way, values in found.items():
                value, low, high = (
                    [factor * values[s][number][i] for s in scales] for i in range(3)
                )
                axes.plot(scales, value, marker="o", markersize=3, label=WAYS[way])
                axes.fill_between(scales, low, high, alpha=0.2, linewidth=0)
            axes.set_xscale("log", base=2)
            axes.set_title(f"{name}: {title}", fontsize=10)
            axes.set_xlabel("scale", fontsize=9)
            axes.tick_params(labelsize=8)
            axes.xaxis.set_major_formatter("{x:g}")
            if number == "fcd_ratio":
                axes.set_yscale("log")
    places[0][0].legend(fontsize=8)
    figure.savefig(out)
    print(out)


if __name__ == "__main__":
    main()
