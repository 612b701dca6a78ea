"""What a run can show, as its methods."""

from __future__ import annotations

from jaxgen.views import (
    captions,
    completions,
    directions,
    editing,
    latents,
    molecules,
    ood,
    palette,
    reveal,
    showers,
    spectrum,
    styles,
    trajectory,
    translations,
    voices,
    walks,
)
from jaxgen.views.films import filmed


class Views:
    """Each takes the run and gives a `Picture`: `run.interpolate().save("x.mp4")`.

    `caption` gives texts, `convert` a sound, `codes` counts, `directions` a direction, `ood`
    numbers.
    """

    caption = captions.caption
    completions = completions.completions
    reconstructions = latents.reconstructions
    interpolate = filmed(latents.interpolate)
    sweep = filmed(latents.sweep)
    manifold = latents.manifold
    walk = filmed(walks.walk)
    reveal = filmed(reveal.reveal)
    knob_sweep = filmed(walks.knob_sweep)
    evolve = filmed(latents.evolve)
    trajectory = filmed(trajectory.trajectory)
    translations = translations.translations
    between = molecules.between
    optimise = molecules.optimise
    molecules = molecules.molecules
    ood = ood.ood
    palette = palette.palette
    showers = showers.showers
    spectrum = spectrum.spectrum
    convert = voices.convert
    conversions = voices.conversions
    codes = voices.codes
    mix = filmed(styles.mix)
    directions = directions.directions
    edit = editing.edit
    project = styles.project
