"""Step time of adversarial training beside the same networks in PyTorch eager, on this machine.

    python benchmarks/gans.py                    all rows; needs `pip install .[benchmark]`
    python benchmarks/gans.py dcgan sngan        those of some models
    python benchmarks/gans.py --quick            tiny networks, few rounds: does it run?

A row is a config with changes, on noise. Rounds alternate, A B A B, in one process; printed are
medians of the time a step, and of ratios of pairs. A round is as many steps as the turns take to
repeat: 16 of StyleGAN2, with path length every 4 of them and R1 every 16. PyTorch's networks are in
`peers/`, in the memory's order of jaxgen's images; averages of parameters are left out in both.
"""

from __future__ import annotations

import argparse
import os

from jaxgen.platform import set_defaults

set_defaults()
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"

import numpy as np  # noqa: E402
from accelerator_rows import Jaxgen, Torch, alternate, config_of, summary  # noqa: E402

from jaxgen.types import DataSpec  # noqa: E402

PLAIN = {"method.penalties": {}}
WIDE = {"model.generator.base": 4096, "model.discriminator.base": 4096}
WIDE |= {"model.generator.most": 128, "model.discriminator.most": 128}
PATH = {"method.path_weight": 2.0, "method.mixing": 0.9}
STAGES = {"widths": (96, 96, 64, 32), "cardinalities": (12, 12, 8, 4), "blocks": (1,) * 4}
ROWS = {  # model -> (preset, side, colours, batch, changes)
    "dcgan": [("digits", 8, 1, 64, PLAIN), ("celeba64", 64, 3, 16, {"model.generator.width": 64})],
    "sngan": [("digits", 8, 1, 64, {}), ("cifar10", 32, 3, 16, {"method.critic_steps": 1})],
    "biggan": [("digits", 8, 1, 64, {})],
    "r3gan": [
        ("digits", 8, 1, 64, {}),
        (
            "digits",
            32,
            3,
            16,
            {f"model.generator.{k}": v for k, v in STAGES.items()}
            | {f"model.discriminator.{k}": v[::-1] for k, v in STAGES.items()},
        ),
    ],
    "stylegan2": [("digits", 32, 3, 16, WIDE | PATH), ("digits", 64, 3, 8, WIDE | PATH)],
    "stylegan3": [("faces_narrow", 32, 3, 16, {}), ("faces", 32, 3, 16, {})],
}
SECONDS = 20  # a row, at least three rounds


def row(
    name: str, preset: str, side: int, colours: int, batch: int, changes: dict, quick: bool
) -> str:
    """What a row gives, in words.

    Raises:
        SystemExit: if the networks differ in how many parameters they have.
    """
    config = config_of(f"{name}.py:{preset}" + ",tiny" * quick)
    with config.unlocked():
        config.update_from_flattened_dict({} if quick else changes)
    config, classes = config.to_dict(), 10 if name == "biggan" else 0
    spec = DataSpec.of("noise", (side, side, colours), 256, classes)
    random = np.random.RandomState(0)
    x = random.randint(0, 256, (batch, side, side, colours)).astype(np.uint8)
    label = random.randint(0, 10, batch)
    ours, theirs = (
        Jaxgen(config, spec, x, label),
        Torch(name, config, spec, x, label, "channels last"),
    )
    if ours.counts != theirs.counts:
        raise SystemExit(f"{name}: {ours.counts} parameters, in PyTorch {theirs.counts}")
    runs, steps = {"jaxgen": ours.run, "torch": theirs.run}, theirs.peer.period
    for run in runs.values():
        run(steps)
    found = summary(alternate(runs, steps, 0 if quick else SECONDS))
    return (
        f"{name}:{preset}, {side}x{side}x{colours}, batch {batch}: {found['jaxgen_ms']:.1f} ms, "
        f"PyTorch {found['torch_ms']:.1f} ms, jaxgen / PyTorch {found['jaxgen/torch']:.2f} "
        f"({found['rounds']} rounds of {steps})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="*", default=list(ROWS), choices=[*ROWS, []])
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    for name in arguments.what:
        for one in ROWS[name][: 1 if arguments.quick else None]:
            print(row(name, *one, quick=arguments.quick), flush=True)


if __name__ == "__main__":
    main()
