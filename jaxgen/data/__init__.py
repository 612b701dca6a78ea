"""Data: named sets, tfds, folders of images, arrays; NumPy in, NumPy out, no TensorFlow."""

from jaxgen.data.dataset import DataError, Dataset, Split
from jaxgen.data.load import from_arrays, load

__all__ = ["DataError", "Dataset", "Split", "from_arrays", "load"]
