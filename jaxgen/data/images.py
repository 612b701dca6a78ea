"""Image files and their geometry: headers, decoding, bringing images to one size. Pillow inside."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

import numpy as np

from jaxgen.data import lanczos
from jaxgen.data.dataset import ArraySplit, DataError, Dataset, Split
from jaxgen.data.limits import open_image
from jaxgen.data.palette import numbers_of

FITS = ("none", "crop", "pad", "stretch")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
ADVICE = "--config.data.size=64,64 --config.data.fit=crop (or pad, or stretch)"

# Pillow mode -> (channels, grey levels). Modes that stand for others are in _SHOWN_AS.
_MODES = {
    "1": (1, 2),
    "L": (1, 256),
    "LA": (2, 256),
    "RGB": (3, 256),
    "RGBA": (4, 256),
    "I;16": (1, 65536),
    "I;16L": (1, 65536),
    "I;16B": (1, 65536),
}
_SHOWN_AS = {"P": "RGB", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB"}
_CHANNEL_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
MODES = ("L", "LA", "RGB", "RGBA")  # that images of several kinds can be brought to
_ORIENTATION = 0x0112  # the Exif tag
_TURNED = (5, 6, 7, 8)  # its values that swap width and height
# what Pillow raises of damaged files: nearly anything
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError)
_UNREADABLE += (struct.error, RuntimeError, MemoryError, AttributeError)


class Kind(NamedTuple):
    """What the header of an image file says."""

    height: int
    width: int
    channels: int
    levels: int
    frames: int = 1

    @property
    def mode(self) -> str:
        """In words, for messages."""
        bits = {2: 1, 256: 8, 65536: 16}[self.levels]
        return f"{self.channels} channel{'s' if self.channels > 1 else ''} of {bits} bit"


@dataclasses.dataclass(frozen=True)
class Geometry:
    """How images are brought to one size.

    `crop` scales until the image covers the size and cuts the centre out; `pad` shrinks what is
    too big, never enlarges, and fills with zeros around it; `stretch` ignores proportions; `none`
    refuses images of another size. Scaling is Lanczos with antialiasing.

    Attributes:
        height: in pixels.
        width: in pixels.
        fit: one of `FITS`.
        levels: grey levels of the result, None for continuous values.
    """

    height: int
    width: int
    fit: str
    levels: int | None = 256

    def apply(self, image: np.ndarray) -> np.ndarray:
        """[H, W, C] to [height, width, C], same dtype.

        Raises:
            DataError: on another size where `fit` is "none".
        """
        height, width, _ = image.shape
        if (height, width) == (self.height, self.width):
            return image
        if self.fit == "none":
            raise DataError(
                f"expected images of {self.height}x{self.width}, got {height}x{width}; "
                f"to resize them add {ADVICE}"
            )
        if self.fit == "stretch":
            return self._scale(image, (0, 0, width, height), self.height, self.width)
        if self.fit == "crop":
            scale = max(self.height / height, self.width / width)
            cut_h, cut_w = self.height / scale, self.width / scale
            top, left = (height - cut_h) / 2, (width - cut_w) / 2
            box = (left, top, min(left + cut_w, width), min(top + cut_h, height))
            return self._scale(image, box, self.height, self.width)
        scale = min(1.0, self.height / height, self.width / width)
        new_h, new_w = max(round(height * scale), 1), max(round(width * scale), 1)
        if scale < 1:
            image = self._scale(image, (0, 0, width, height), new_h, new_w)
        top, left = (self.height - new_h) // 2, (self.width - new_w) // 2
        around = ((top, self.height - new_h - top), (left, self.width - new_w - left), (0, 0))
        return np.pad(image, around)

    def nearest(self, numbers: np.ndarray) -> np.ndarray:
        """[H, W] to [height, width] of the same numbers, where `apply` puts an image; not of "pad".

        Between two classes there is none: each pixel is that of the nearest place.
        """
        height, width = numbers.shape
        if (height, width) == (self.height, self.width):
            return numbers
        down, right = height / self.height, width / self.width
        if self.fit == "crop":
            down = right = min(down, right)
        rows, columns = (
            ((np.arange(new) + 0.5) * step + (old - new * step) / 2).astype(int).clip(0, old - 1)
            for new, step, old in (
                (self.height, down, height),
                (self.width, right, width),
            )
        )
        return numbers[rows[:, None], columns]

    def _scale(self, image: np.ndarray, box: tuple, height: int, width: int) -> np.ndarray:
        """Resamples the box (left, top, right, bottom) of an image."""
        out = lanczos.scaled(image, box, height, width)
        if self.levels is not None:  # Lanczos overshoots at edges
            out = np.rint(out).clip(0, self.levels - 1)
        return out.astype(image.dtype)


@dataclasses.dataclass(frozen=True, eq=False)
class ResizedSplit(Split):
    """A split on disk whose images are brought to one size when asked for."""

    inner: Split
    geometry: Geometry

    def __len__(self) -> int:
        return len(self.inner)

    @property
    def place(self) -> str:
        """Where the originals are."""
        return self.inner.place

    @property
    def decodes(self) -> bool:
        """See `Split`."""
        return self.inner.decodes

    @property
    def labels(self) -> np.ndarray | None:
        """See `Split.labels`."""
        return self.inner.labels

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See `Split.take`."""
        batch = self.inner.take(indices)
        return batch | {"x": np.stack([self.geometry.apply(image) for image in batch["x"]])}

    def sha256(self) -> str:
        """Hash of the originals; the shape, which is in every fingerprint, tells sizes apart."""
        return self.inner.sha256()


def resized(dataset: Dataset, size: tuple[int, int] | None, fit: str) -> Dataset:
    """The data set with images of `size`; itself, if it has that size already.

    Raises:
        DataError: on points, or on another size where `fit` is "none".
    """
    spec = dataset.spec
    if size is None or spec.shape[:2] == size:
        return dataset
    if spec.x.kind != "image":
        raise DataError(f"{spec.name} holds points, which have no size: leave out data.size")
    if tied := [k for k, f in spec.fields.items() if k != "x" and f.shape[:2] == spec.shape[:2]]:
        raise DataError(
            f"{spec.name} has {', '.join(tied)} of the size of its images: leave out data.size"
        )
    geometry = Geometry(*size, fit, spec.levels)
    splits: dict[str, Split] = {}
    for name, split in dataset.splits.items():
        if isinstance(split, ArraySplit):
            x = np.stack([geometry.apply(image) for image in split.x])
            splits[name] = dataclasses.replace(split, arrays={**split.arrays, "x": x})
        else:
            geometry.apply(split.take(np.zeros(1, np.int64))["x"][0])  # refuses now, not later
            splits[name] = ResizedSplit(split, geometry)
    spec = spec.with_field("x", shape=(*size, spec.shape[2]))
    return dataclasses.replace(dataset, spec=spec, splits=splits)


def parse_size(size: Any) -> tuple[int, int] | None:
    """(height, width) from None, 64, "64", (64, 48) or "64,48".

    Raises:
        DataError: on anything else.
    """
    if size is None or size == ():
        return None
    parts: Sequence[Any] = [size]
    if isinstance(size, str):
        parts = size.strip("()[]").split(",")
    elif isinstance(size, Sequence):
        parts = size
    try:
        numbers = [int(part) for part in parts]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) == 1:
        numbers *= 2
    if len(numbers) != 2 or min(numbers) < 1:
        raise DataError(f"expected data.size as H,W in pixels, e.g. 64,64; got {size!r}")
    return numbers[0], numbers[1]


def kind(file: Any, where: str, mode: str | None = None) -> Kind:
    """Reads the header of an image file.

    Args:
        file: path or binary file.
        where: its name, for messages.
        mode: to which the image will be brought, one of `MODES`; None leaves it as it is.

    Raises:
        DataError: on what is no image, or one that Pillow would not give with all its bits.
    """
    with _open(file, where) as image:
        width, height = image.size
        if _orientation(image) in _TURNED:
            width, height = height, width
        used = mode if mode is not None and _convertible(image) else _mode(image, where)
        return Kind(height, width, *_MODES[used], _frames(image, where))


def decode(
    file: Any, where: str, channels: int | None = None, mode: str | None = None
) -> np.ndarray:
    """Decodes an image file, upright; of several frames the first.

    Args:
        file: path or binary file.
        where: its name, for messages.
        channels: converts 8-bit images to that many; None keeps what is there.
        mode: converts any image to this one of `MODES`, of 16 bits the upper 8; None keeps it.

    Returns:
        [H, W, C], uint16 for 16 bit, else uint8; 0 and 1 for 1 bit. What was transparent is on
        white where the alpha channel goes.

    Raises:
        DataError: on a file that is damaged or cannot be read with all its bits.
    """
    with _open(file, where) as image:
        if mode is None or not _convertible(image):
            mode = _mode(image, where)
            if channels is not None and not mode.startswith("I"):
                if channels not in _CHANNEL_MODES:
                    raise DataError(f"{where}: expected 1 to 4 channels, got {channels}")
                mode = _CHANNEL_MODES[channels]
        try:
            pixels = np.asarray(_converted(_upright(image), mode))
        except _UNREADABLE as error:
            raise DataError(f"damaged image {where}: {error}; copy it anew or delete it") from error
    pixels = pixels.astype(np.uint16 if mode.startswith("I") else np.uint8, copy=False)
    return pixels.reshape(*pixels.shape[:2], -1)


def numbers(file: Any, where: str) -> np.ndarray:
    """The numbers of an image, int32 [H, W]: its grey levels or indices, or classes by colour.

    Raises:
        DataError: on a damaged file, or colours that are not those of `palette.colours`.
    """
    with _open(file, where) as image:
        try:
            image = _upright(image)
            if len(image.getbands()) == 1:
                return np.asarray(image).astype(np.int32)
            return numbers_of(np.asarray(image.convert("RGB")))
        except ValueError as error:
            raise DataError(f"{where}: {error}") from error
        except _UNREADABLE as error:
            raise DataError(f"damaged image {where}: {error}; copy it anew or delete it") from error


def _upright(image: Any) -> Any:
    """The decoded image, turned as its Exif data say; Pillow turns a TIFF by itself."""
    import PIL.ImageOps

    image.load()
    if image.format == "TIFF" or _orientation(image) == 1:
        return image
    return PIL.ImageOps.exif_transpose(image)


def _converted(image: Any, mode: str) -> Any:
    """The image in another Pillow mode."""
    import PIL.Image

    if image.mode == mode:
        return image
    if image.mode.startswith("I;16") and not mode.startswith("I"):
        grey = np.asarray(image).astype(np.uint16)
        image = PIL.Image.fromarray(np.rint(grey / 257.0).astype(np.uint8))
    clear = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    if clear and mode in ("L", "RGB"):
        white = PIL.Image.new("RGBA", image.size, "white")
        image = PIL.Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert(mode)


def _convertible(image: Any) -> bool:
    """Whether any of `MODES` can be made of it: not of floats and 32 bits."""
    return image.mode in _MODES or image.mode in _SHOWN_AS


def _open(file: str | IO[bytes], where: str) -> Any:
    import PIL.Image

    try:
        return open_image(file)
    except PermissionError as error:
        raise DataError(f"may not read {where}: {error.strerror}") from error
    except (*_UNREADABLE, PIL.Image.DecompressionBombError) as error:
        raise DataError(f"cannot read image {where}: {error}; copy it anew or delete it") from error


def _orientation(image: Any) -> int:
    """How the image lies, Exif 1 .. 8, of any format: 1 is upright; of a TIFF what its size says.

    A PNG may hold its Exif data behind the pixels. Pillow would decode them to see.
    """
    import PIL.Image

    if image.format == "TIFF":
        return 1
    try:
        if image.format == "PNG" and "exif" not in image.info and _late_exif(image.fp):
            found = image.getexif().get(_ORIENTATION, 1)
        else:
            found = PIL.Image.Image.getexif(image).get(_ORIENTATION, 1)
    except _UNREADABLE:
        return 1  # Exif data that are damaged say nothing
    return found if found in range(1, 9) else 1


def _frames(image: Any, where: str) -> int:
    """Of an animation or pages; the second picture in a photo is its thumbnail or its depth."""
    try:
        return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except _UNREADABLE as error:
        raise DataError(f"damaged image {where}: {error}; copy it anew or delete it") from error


def _late_exif(file: IO[bytes] | None) -> bool:
    """Whether a PNG has its eXIf chunk behind the first of its pixels. The place is kept."""
    if file is None:  # decoded and closed: Pillow knows all chunks
        return False
    place = file.tell()
    try:
        file.seek(8)
        while len(header := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", header)
            if name in (b"eXIf", b"IEND"):
                return name == b"eXIf"
            file.seek(length + 4, 1)
        return False
    finally:
        file.seek(place)


def _mode(image: Any, where: str) -> str:
    """The mode in which the image is used."""
    mode = _SHOWN_AS.get(image.mode, image.mode)
    if mode == "RGB" and image.mode == "P" and "transparency" in image.info:
        mode = "RGBA"
    if mode not in _MODES:
        raise DataError(
            f"{where}: cannot use images of Pillow mode {image.mode!r}; for floats and more bits "
            f"use a .npy or .npz array"
        )
    # Pillow reads 16-bit colour with 8 bits and does not say so.
    if not mode.startswith("I") and any(";16" in str(tile[3]) for tile in image.tile):
        raise DataError(
            f"{where}: 16-bit images of several channels lose half their bits in Pillow; "
            f"use a .npy or .npz array of uint16 [N, H, W, C]"
        )
    return mode
