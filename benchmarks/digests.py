"""Trains every config's tiny presets on embedded data and records what they end in, to compare.

    python benchmarks/digests.py --out=before.json      on one commit
    python benchmarks/digests.py --out=after.json --against=before.json

A digest covers every bit of the final state. Both commits on one machine, with one jax.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]
# compiling is what takes the time; which code is compiled does not matter to equality
FLAGS = "--xla_backend_optimization_level=0"


def presets() -> list[str]:
    """`NAME:PRESET,tiny` of each that needs neither files nor a first stage."""
    from jaxgen.data.embedded import EMBEDDED

    found = []
    for path in sorted((ROOT / "configs").glob("*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name in module.PRESETS:
            arg = f"{name},tiny"
            config = module.get_config(arg)
            if config.data.name in EMBEDDED and "frozen" not in config:
                found.append(f"{path.stem}:{arg}")
    return found


def trained(preset: str, timeout: float) -> str:
    """The digest of one, or the last line of why there is none."""
    name, _, arg = preset.partition(":")
    env = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    env["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}".strip()
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "jaxgen.main", f"--config={ROOT}/configs/{name}.py:{arg}"]
        done = subprocess.run(
            [*command, f"--workdir={place}/run"],
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=place,
        )
        if done.returncode:
            return f"failed: {(done.stderr.strip().splitlines() or ['?'])[-1][:200]}"
        return json.loads(pathlib.Path(place, "run/summary.json").read_text())["state_digest"]


def main() -> int:
    """Returns 1 if one failed, or differs from `--against`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", required=True, help="JSON, preset -> digest; kept ones are not run"
    )
    parser.add_argument("--against", help="JSON of another commit")
    parser.add_argument("--only", default="", help="names of configs, as nice,glow")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for each")
    asked = parser.parse_args()
    out = pathlib.Path(asked.out)
    found = json.loads(out.read_text()) if out.exists() else {}
    only = [name for name in asked.only.split(",") if name]
    before = json.loads(pathlib.Path(asked.against).read_text()) if asked.against else {}
    for preset in presets():
        if preset not in found and (not only or preset.partition(":")[0] in only):
            found[preset] = trained(preset, asked.timeout)
            out.write_text(json.dumps(found, indent=1))
            print(f"{preset:<40} {found[preset][:16]}", flush=True)
    failed = sorted(p for p in found if found[p].startswith("failed"))
    known = found.keys() & before.keys() - set(failed)
    differs = sorted(p for p in known if before[p] != found[p])
    print(f"{len(found)} presets, {len(known)} compared; differ: {differs}; failed: {failed}")
    return 1 if differs or failed else 0


if __name__ == "__main__":
    sys.exit(main())
