"""What a run can show, as its methods."""

from __future__ import annotations

from jaxgen.views import (
    captions,
    completions,
    latents,
    molecules,
    ood,
    palette,
    showers,
    spectrum,
    styles,
    trajectory,
    translations,
    voices,
)


class Views:
    """Each takes the run and gives a `Picture`: `run.interpolate().save("x.mp4")`.

    `caption` gives texts, `convert` a sound, `codes` counts, `ood` numbers.
    """

    caption = captions.caption
    completions = completions.completions
    reconstructions = latents.reconstructions
    interpolate = latents.interpolate
    sweep = latents.sweep
    manifold = latents.manifold
    walk = latents.walk
    evolve = latents.evolve
    trajectory = trajectory.trajectory
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
    mix = styles.mix
    project = styles.project
