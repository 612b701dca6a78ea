"""The discrete VAE against the official modules, with the same random weights.

    git clone https://github.com/openai/DALL-E DIR
    python tests/parity/dvae.py DIR

Prints the largest difference of logits and of the decoder's output, and whether ids are equal, and
exits with 1 if one is above 1e-5 of the largest value. Needs PyTorch, on CPU, and attrs. The
official code is imported from DIR.
"""

from __future__ import annotations

import pathlib
import sys

LIMIT = 1e-5
BATCH, SIDE, HIDDEN, CODES, WIDTH = 2, 32, 64, 512, 16


def array(tensor):
    return tensor.detach().numpy().copy()


def convolution(layer):
    """[co, ci, kh, kw] to [kh, kw, ci, co]."""
    return {"kernel": array(layer.w).transpose(2, 3, 1, 0), "bias": array(layer.b)}


def block(layer):
    """Parameters of our Block."""
    found = {f"Conv_{i}": convolution(getattr(layer.res_path, f"conv_{i + 1}")) for i in range(4)}
    if hasattr(layer.id_path, "w"):
        found["id_path"] = convolution(layer.id_path)
    return found


def blocks(module):
    """Of all groups, in order."""
    every = [
        getattr(getattr(module.blocks, f"group_{group + 1}"), f"block_{i + 1}")
        for group in range(4)
        for i in range(2)
    ]
    return {f"Block_{i}": block(layer) for i, layer in enumerate(every)}


def parameters(encoder, decoder):
    """Ours, of both."""
    table = convolution(decoder.blocks.input)
    return {
        "encoder": {
            "Conv_0": convolution(encoder.blocks.input),
            **blocks(encoder),
            "Conv_1": convolution(encoder.blocks.output.conv),
        },
        "decoder": {
            "bias": table["bias"],
            **blocks(decoder),
            "Conv_0": convolution(decoder.blocks.output.conv),
        },
        "book": {"table": table["kernel"][0, 0]},
    }


def main(checkout):
    """Compares."""
    sys.path.insert(0, str(pathlib.Path(checkout).resolve()))
    import jax
    import jax.numpy as jnp
    import numpy as np
    import torch
    import torch.nn.functional as F
    from dall_e.decoder import Decoder
    from dall_e.encoder import Encoder
    from dall_e.utils import map_pixels

    from jaxgen.models.vaes.dvae import DVAE

    torch.manual_seed(0)
    encoder = Encoder(n_hid=HIDDEN, vocab_size=CODES)
    decoder = Decoder(n_hid=HIDDEN, vocab_size=CODES, n_init=WIDTH)
    model = DVAE(codes=CODES, hidden=HIDDEN, width=WIDTH)
    x = np.random.RandomState(0).rand(BATCH, SIDE, SIDE, 3).astype(np.float32)
    size = (BATCH, SIDE, SIDE, 6)
    with torch.no_grad():
        logits = encoder(map_pixels(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())))
        ids = torch.argmax(logits, dim=1)
        stats = decoder(F.one_hot(ids, CODES).permute(0, 3, 1, 2).float())

    variables = jax.device_get(jax.jit(lambda x: model.init(jax.random.key(0), x, size))(x))
    shapes = lambda tree: jax.tree.map(np.shape, tree)  # noqa: E731
    variables = {**variables, "params": parameters(encoder, decoder)}
    if shapes(variables["params"]) != shapes(
        jax.eval_shape(lambda x: model.init(jax.random.key(0), x, size), x)["params"]
    ):
        raise SystemExit("other parameters than expected")
    ours = jax.jit(lambda x: model.apply(variables, x, method="_logits"))(x)
    found = jax.jit(lambda x: model.apply(variables, x, method="encode"))(x)["codes"]
    shown = model.apply(variables, {"codes": jnp.asarray(found)}, size, method="decode")
    worst = 0.0
    for name, a, b in (("logits", ours, logits), ("decoder", shown, stats)):
        b = array(b).transpose(0, 2, 3, 1)
        off = float(np.abs(a - b).max() / np.abs(b).max())
        worst = max(worst, off)
        print(f"{name}: largest difference {off:.1e} of the largest value")
    same = bool((np.asarray(found)[..., 0] == ids.numpy()).all())
    print(f"ids equal: {same}")
    return 0 if worst <= LIMIT and same else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
