"""Named families of metrics, for any model or set of images: `measure(comparison, families)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxgen.config import ConfigError, unknown
from jaxgen.evaluate.comparison import Comparison
from jaxgen.evaluate.families import FAMILIES as OF_IMAGES
from jaxgen.evaluate.measurement import Measurement, NotAvailable
from jaxgen.evaluate.model_families import FAMILIES
from jaxgen.progress import stage

ALL = "all"
ALIASES = {"fcd": "fd", "fid": "fd", "kcd": "kd", "kid": "kd", "precision": "pr", "recall": "pr"}
ALIASES |= {"density": "dc", "coverage": "dc", "bpd": "likelihood", "nll": "likelihood"}
PUBLISHED = ("fid", "kid")  # of Inception's features alone


def chosen(metrics: str | Sequence[str], images_only: bool = False) -> tuple[str, ...]:
    """Names of families, from a comma-separated list or a sequence; "all" is all of them.

    Args:
        metrics: names, or other words for them, as "fcd".
        images_only: leave out those that need more than images.

    Raises:
        ConfigError: for an unknown name, with the nearest one; or no name at all.
    """
    known = OF_IMAGES if images_only else FAMILIES
    names = metrics.split(",") if isinstance(metrics, str) else metrics
    found: dict[str, None] = {}
    for name in (n.strip() for n in names if n.strip()):
        if name == ALL:
            found |= dict.fromkeys(known)
        elif ALIASES.get(name, name) in known:
            found[ALIASES.get(name, name)] = None
        else:
            raise ConfigError(unknown("metric", name, [*known, ALL]))
    if not found:
        raise ConfigError(f"no metric named; known: {', '.join([*known, ALL])}")
    return tuple(found)


def check_published(metrics: str | Sequence[str], extractor: str | None) -> None:
    """Refuses the name of a published metric for features that it is not of.

    Args:
        metrics: see `chosen`.
        extractor: of the features, None for the default one.

    Raises:
        ConfigError: naming the metric of other features, and how to have the published one.
    """
    listed = metrics.split(",") if isinstance(metrics, str) else metrics
    for name in (n.strip() for n in listed):
        if name in PUBLISHED and (extractor or "").partition(":")[0] != "inception":
            raise ConfigError(
                f"--metrics={name} is of the features of Inception: add --extractor=inception "
                f"(jaxgen weights inception fetches it once), or take --metrics={ALIASES[name]}, "
                "of other features"
            )


def measure(
    comparison: Comparison,
    metrics: str | Sequence[str],
    say: Callable[[str], None] | None = None,
    lenient: bool = False,
) -> tuple[list[Measurement], dict[str, str]]:
    """Measures families one after the other.

    Args:
        comparison: a subject beside real data.
        metrics: see `chosen`.
        say: is told what is being measured, None for silence.
        lenient: list what cannot be given, as for "all", and raise nothing.

    Returns:
        The measurements; and family -> why not, of those that the subject cannot give.

    Raises:
        ConfigError: for images that cannot be measured; where families were asked for by name,
            also when none of them can be given.
    """
    names = chosen(metrics)
    listed = metrics.split(",") if isinstance(metrics, str) else list(metrics)
    by_name = not lenient and ALL not in [name.strip() for name in listed]
    found: list[Measurement] = []
    missing: dict[str, str] = {}
    for name in names:
        if say:
            say(f"measuring {name}")
        try:
            with stage(f"measuring {name}"):
                found += FAMILIES[name](comparison)
        except NotAvailable as reason:
            missing[name] = str(reason)
        except ConfigError as error:
            if by_name:
                raise
            missing[name] = str(error)
    if missing and not found and by_name:
        reasons = "; ".join(f"{name} is not available: {why}" for name, why in missing.items())
        raise ConfigError(reasons)
    return found, missing
