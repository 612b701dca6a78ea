"""Whether two run directories hold the same: digest, summary, rows and grids."""

import json

from moments import lines


def differences(workdir, whole):
    """What a run directory holds otherwise than the undisturbed one, in words; empty if nothing."""
    found, texts = [], [(d / "summary.json") for d in (workdir, whole)]
    if not texts[0].exists():
        return ["no summary.json"]
    ours, theirs = (json.loads(path.read_text()) for path in texts)
    found += [
        f"summary: {key} is {ours.get(key)!r}, expected {theirs.get(key)!r}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]
    ours, theirs = lines(workdir), lines(whole)
    if ours != theirs:
        extra = [row for row in ours if row not in theirs]
        missing = [row for row in theirs if row not in ours]
        what = f"{len(extra)} others, {len(missing)} missing"
        found.append(f"rows: {what}: {(extra or missing or ['order, or twice'])[0]}")
    grids = [
        {p.name: p.read_bytes() for p in (d / "samples").glob("*.png")} for d in (workdir, whole)
    ]
    found += [
        f"grid {name} differs"
        for name in sorted(grids[0].keys() | grids[1].keys())
        if grids[0].get(name) != grids[1].get(name)
    ]
    if any(workdir.glob("checkpoints/*.orbax-checkpoint-tmp*")):
        found.append("half a checkpoint was left behind")
    return found


def lost(workdir, written):
    """Rows that were on disk once, and are neither there now nor computed again equal."""
    now = lines(workdir)
    return [f"lost: {row}" for row in written if row not in now]
