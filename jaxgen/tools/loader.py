"""The functions of an exported model, with JAX and NumPy alone.

model = load("FOLDER"); model["sample"](num=np.zeros(16, np.uint8), key=[0, 7])["x"]

What they take and give, shapes, types and ranges, says `signature.json`.
"""

import json
import pathlib

import jax
import jax.export  # noqa: F401  which `import jax` does not bring
import jax.numpy as jnp
import numpy as np


def load(folder):
    """Name -> function of arguments by name, which gives arrays by name."""
    folder = pathlib.Path(folder)
    about = json.loads((folder / "signature.json").read_text())
    raw = (folder / "weights.safetensors").read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])

    def weight(name):
        entry = header[name]
        first, last = (start + place for place in entry["data_offsets"])
        dtype = jnp.dtype(about["types"][entry["dtype"]])
        return np.frombuffer(raw[first:last], dtype).reshape(entry["shape"])

    def function(name, said):
        program = jax.export.deserialize(bytearray((folder / f"{name}.bin").read_bytes()))
        call, weights = jax.jit(program.call), [weight(n) for n in said["weights"]]

        def called(**given):
            known = {a["name"]: a for a in said["arguments"]}
            values = {n: a["default"] for n, a in known.items() if "default" in a} | given
            if values.keys() != known.keys():
                raise TypeError(f"{name} takes {', '.join(known)}; given: {', '.join(values)}")
            return call(weights, *(np.asarray(values[n], a["dtype"]) for n, a in known.items()))

        return called

    return {name: function(name, said) for name, said in about["functions"].items()}
