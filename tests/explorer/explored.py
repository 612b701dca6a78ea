"""What tests of the explorer share."""

import base64
import io

import numpy as np
import PIL.Image

ADDRESS = "http://localhost:8787"
VECTOR = np.array([1.0, -0.5])  # of the direction of the VAE


def pixels(picture):
    """Of one that was sent, as integers."""
    with PIL.Image.open(io.BytesIO(base64.b64decode(picture["data"]))) as image:
        return np.asarray(image).astype(int)


def png(x):
    """The content of a PNG file of an image [H, W] of the digits, 0 to 16."""
    buffer = io.BytesIO()
    grey = np.rint(x * (255 / 16)).astype(np.uint8)
    PIL.Image.fromarray(grey).save(buffer, "png")
    return buffer.getvalue()
