"""Pictures of samples: how every kind of field is looked at."""

from __future__ import annotations

import fractions
import io
import itertools
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.data.palette import colours
from jaxgen.errors import ConfigError
from jaxgen.fields import Field
from jaxgen.files import pictures_in, write, write_image
from jaxgen.progress import remark

GAP = 2  # pixels between the images of a grid
SLICES, CURVES = 8, 9  # of a volume, and of sequences, that are shown
CELL = 8  # pixels of a token
NO_VIDEO = "films need PyAV: pip install av, or take .gif"
SMALLEST = 32  # pixels: smaller images are enlarged by a whole factor


Ends = tuple[float, float]


def view(field: Field, x: np.ndarray, columns: int | None = None) -> np.ndarray:
    """How a field is looked at: examples as one picture [H, W, 3] uint8.

    Images are a grid; a volume is a row of slices through its first axis, from front to back; of
    vectors the first two numbers are points; a sequence is curves, one a channel; classes and
    tokens are colours, a layout as it lies, a text as a row.

    Args:
        field: what the examples are of.
        x: [N, ...] in the units of the data.
        columns: of a grid of images; None for as many as rows.
    """
    if field.kind == "vector":
        return _scatter(x)
    if field.kind == "sequence":
        return _curves(x)
    if field.kind in ("label", "tokens"):
        rows = _coloured(x.reshape(1, len(x), -1), field.values or 1)
        return grid(rows.repeat(CELL, 1).repeat(CELL, 2))
    if field.kind in ("layout", "instances"):
        return grid(painted(field, x))
    images = to_uint8(x, field.levels, field.range)
    if field.kind == "image":
        return grid(images, columns)
    depth = x.shape[1]
    shown = np.unique(np.linspace(0, depth - 1, min(depth, SLICES)).round().astype(int))
    return grid(images[:, shown].reshape(-1, *x.shape[2:]), columns=len(shown))


def painted(field: Field, x: np.ndarray) -> np.ndarray:
    """Images, layouts or instances [N, H, W, ...] as colours, [N, H, W, 3] uint8."""
    if field.kind == "image":
        images = to_uint8(x, field.levels, field.range)
        return np.repeat(images[..., :1], 3, -1) if images.shape[-1] < 3 else images[..., :3]
    if field.kind == "layout":
        return colours(field.values or 1)[np.asarray(x)]
    return _coloured(x, int(np.max(x)) + 1)


def swatches(count: int, side: int = 32, columns: int = 8) -> np.ndarray:
    """The colours of classes 0 to count - 1 in rows, [H, W, 3] uint8, white where there is none."""
    rows = -(-count // columns)
    cells = np.full((rows * columns, 3), 255, np.uint8)
    cells[:count] = colours(count)
    return cells.reshape(rows, columns, 3).repeat(side, 0).repeat(side, 1)


def _coloured(numbers: np.ndarray, count: int) -> np.ndarray:
    """Integers 0 .. count - 1 to colours, [...] to [..., 3] uint8."""
    from matplotlib import colormaps

    shares = np.clip(np.asarray(numbers, float) / max(count - 1, 1), 0, 1)
    return np.rint(255 * colormaps["turbo"](shares)[..., :3]).astype(np.uint8)


def _curves(x: np.ndarray) -> np.ndarray:
    """[N, T, C], at most `CURVES` of N, three in a row."""
    rows = math.ceil(min(len(x), CURVES) / 3)
    figure, axes = panels(3, rows)
    for ax, lines in itertools.zip_longest(axes, x[:CURVES]):
        if lines is None:
            ax.set_axis_off()
        else:
            ax.plot(np.arange(len(lines)), lines, linewidth=0.8)
    return rendered(figure)


def to_uint8(images: np.ndarray, levels: int | None, ends: Ends | None = None) -> np.ndarray:
    """Images in the units of the data to [0, 255]: grey levels, or between two ends, 0 and 1."""
    low, high = (0.0, levels - 1.0) if levels else ends or (0.0, 1.0)
    scaled = (np.asarray(images, np.float64) - low) * (255.0 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """[N, H, W, C] uint8 to one picture, row by row.

    One channel is drawn grey, three are colours; the last of two or four is what shines through
    to white where it is low. Of more channels the first three are drawn.
    """
    n, h, w, c = images.shape
    rgb = np.repeat(images[..., :1], 3, -1) if c < 3 else images[..., :3]
    if c in (2, 4):
        alpha = images[..., -1:] / 255.0
        rgb = np.rint(rgb * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8)
    zoom = _zoom(h, w)
    rgb = rgb.repeat(zoom, axis=1).repeat(zoom, axis=2)
    h, w = h * zoom, w * zoom
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    out = np.full((rows * (h + GAP) + GAP, columns * (w + GAP) + GAP, 3), 255, np.uint8)
    for i, image in enumerate(rgb):
        top, left = GAP + (i // columns) * (h + GAP), GAP + (i % columns) * (w + GAP)
        out[top : top + h, left : left + w] = image
    return out


def _zoom(height: int, width: int) -> int:
    return max(1, math.ceil(SMALLEST / max(height, width)))


def pixels(shape: Sequence[int]) -> int:
    """Of a picture that an image [H, W, C] takes."""
    zoom = _zoom(*shape[:2])
    return (shape[0] * zoom + GAP) * (shape[1] * zoom + GAP)


def plane(samples: np.ndarray, density: np.ndarray, extent: tuple[float, ...]) -> np.ndarray:
    """Samples of the plane beside the density that the model gives it, [H, W, 3] uint8.

    Args:
        samples: [N, 2].
        density: [rows, columns], rows upwards.
        extent: (left, right, bottom, top) of the density.
    """
    figure, (left, right) = panels(2)
    _scatter_into(left, samples)
    left.set(xlim=extent[:2], ylim=extent[2:], title=f"{len(samples)} samples")
    shown = right.imshow(density, extent=extent, origin="lower", cmap="viridis", vmin=0)
    right.set_title("density")
    figure.colorbar(shown, ax=right, shrink=0.8)
    return rendered(figure)


def scatters(sets: Sequence[np.ndarray], titles: Sequence[str]) -> np.ndarray:
    """Sets of points [N, D] side by side on the axes of the first, [H, W, 3] uint8."""
    figure, axes = panels(len(sets))
    for points, title, ax in zip(sets, titles, axes, strict=True):
        _scatter_into(ax, points)
        ax.set_title(title)
    for ax in axes[1:]:
        ax.set(xlim=axes[0].get_xlim(), ylim=axes[0].get_ylim())
    return rendered(figure)


def trajectories(paths: Mapping[str, np.ndarray]) -> np.ndarray:
    """Paths of the plane [T, 2] around the origin, by name, three in a row; [H, W, 3] uint8.

    They go from dark to bright; all have the same axes, beyond which a path is cut off.
    """
    rows = math.ceil(len(paths) / 3)
    figure, axes = panels(3, rows)
    for ax in axes[len(paths) :]:
        ax.set_axis_off()
    for (name, path), ax in zip(paths.items(), axes, strict=False):
        ax.scatter(path[:, 0], path[:, 1], c=np.arange(len(path)), s=3, cmap="viridis")
        ax.plot(path[:, 0], path[:, 1], linewidth=0.4, color="grey", zorder=0)
        ax.plot(0, 0, "+", color="red")
        ax.set(xlim=(-2.5, 2.5), ylim=(-2.5, 2.5), aspect="equal", title=name)
    return rendered(figure)


def curve(values: np.ndarray, across: str, upwards: str) -> np.ndarray:
    """Values [T] against their number, upwards on a logarithmic axis; [H, W, 3] uint8."""
    figure, (axes,) = panels(1)
    axes.plot(np.arange(1, len(values) + 1), values)
    axes.set(xlabel=across, ylabel=upwards, yscale="log")
    return rendered(figure)


def stacked(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """One picture above the other, on white."""
    width = max(top.shape[1], bottom.shape[1])
    sides = [((0, 0), (0, width - image.shape[1]), (0, 0)) for image in (top, bottom)]
    both = zip((top, bottom), sides, strict=True)
    return np.concatenate([np.pad(image, side, constant_values=255) for image, side in both])


def _scatter(points: np.ndarray) -> np.ndarray:
    figure, (axes,) = panels(1)
    _scatter_into(axes, points)
    if _alike(points):
        axes.set_aspect("equal", adjustable="datalim")
    return rendered(figure)


def _alike(points: np.ndarray) -> bool:
    """Whether both axes span about as much, so that one scale shows them."""
    spans = np.ptp(points[:, :2], axis=0)
    return bool(spans.max() <= 20 * spans.min())


def _scatter_into(axes: Any, points: np.ndarray) -> None:
    second = points[:, 1] if points.shape[1] > 1 else np.zeros(len(points))
    axes.scatter(points[:, 0], second, s=4, linewidths=0, alpha=0.6)
    if _alike(points):
        axes.set_aspect("equal")


def panels(columns: int, rows: int = 1) -> tuple[Any, Any]:
    """A figure and its axes [columns rows], row by row, for `rendered`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    side = 5 if rows == 1 else 3.5
    figure = Figure(figsize=(side * columns, side * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def rendered(figure: Any) -> np.ndarray:
    """A figure as a picture, [H, W, 3] uint8."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))


def save_png(path: pathlib.Path, image: np.ndarray) -> None:
    """Writes [H, W, C] uint8 atomically, see `as_pillow`."""
    write_image(path, as_pillow(image), format="png")


def as_pillow(image: np.ndarray) -> Any:
    """[H, W, C] uint8 as an image of Pillow: grey, RGB or RGBA; of 2 channels the first."""
    from PIL import Image

    return Image.fromarray(image[..., 0] if image.shape[-1] < 3 else image[..., :4])


def save_gif(path: pathlib.Path, frames: Sequence[np.ndarray], milliseconds: int = 60) -> None:
    """Writes pictures [H, W, 3] uint8 as an endless GIF, atomically."""
    from PIL import Image

    first, *others = (Image.fromarray(frame) for frame in frames)
    options = {"save_all": True, "append_images": others, "duration": milliseconds, "loop": 0}
    write_image(path, first, format="gif", **options)


def save_webp(path: pathlib.Path, frames: Sequence[np.ndarray], milliseconds: int = 60) -> None:
    """Writes pictures [H, W, 3] uint8 as an endless WebP without loss, atomically."""
    from PIL import Image

    first, *others = (Image.fromarray(frame) for frame in frames)
    options = {"save_all": True, "append_images": others, "duration": milliseconds, "loop": 0}
    write_image(path, first, format="webp", lossless=True, **options)


def save_pngs(folder: pathlib.Path, images: Iterable[np.ndarray]) -> None:
    """Writes [H, W, C] uint8, one file each, 000000.png and so on, and leaves none of before."""
    before = set(pictures_in(folder))
    for number, image in enumerate(images):
        place = folder / f"{number:06}.png"
        save_png(place, image)
        before.discard(place)
    for place in before:
        place.unlink()


def save_mp4(path: pathlib.Path, frames: Sequence[np.ndarray], milliseconds: int = 60) -> None:
    """Writes pictures [H, W, 3] uint8 as an MP4, atomically: H.264, else MPEG-4, which is said.

    Players take even sides alone: an odd one gets a white line.

    Raises:
        ConfigError: where PyAV, or both encoders, are missing.
    """
    try:
        import av
    except ImportError as error:
        raise ConfigError(f"{path}: {NO_VIDEO}") from error
    height, width = ((side + 1) // 2 * 2 for side in frames[0].shape[:2])
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        rate = fractions.Fraction(1000, milliseconds)
        stream = _stream(container, rate)
        if stream is None:  # of an FFmpeg without them
            raise ConfigError(f"{path}: {NO_VIDEO}")
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            sides = [(0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0)]
            even = np.pad(frame, sides, constant_values=255)
            whole = av.VideoFrame.from_ndarray(even, format="rgb24")
            # colours of 2x2 pixels as their mean, which halves the error at edges
            container.mux(stream.encode(whole.reformat(format="yuv420p", interpolation="AREA")))
        container.mux(stream.encode())
    write(path, buffer.getvalue())


def _stream(container: Any, rate: fractions.Fraction) -> Any:
    """The first encoder that this FFmpeg has, None without one."""
    codecs = {"libx264": {"crf": "12", "bf": "0"}, "mpeg4": {"qmin": "1", "qmax": "2"}}
    for name, options in codecs.items():
        try:
            stream = container.add_stream(name, rate=rate, options=options)
        except ValueError:
            continue
        if name != "libx264":
            remark(f"this FFmpeg has no H.264: the film is of {name}, and larger")
        return stream
    return None
