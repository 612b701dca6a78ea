"""The causal Transformer against VQGAN's official one (minGPT), with the same random weights.

    git clone https://github.com/CompVis/taming-transformers DIR
    python tests/parity/gpt.py DIR

Prints the largest difference of the logits, of whole passes and of steps with a cache, and exits
with 1 if one is above 1e-4. Needs PyTorch, on CPU. The official code is imported from DIR; its
first token, the condition, is here the vector in front.

Of commit 3ba01b24, PyTorch 2.13.0, jax 0.10.2: 9.8e-7 of whole passes, 1.1e-6 of steps.
"""

from __future__ import annotations

import importlib.util
import pathlib
import sys
import types

import numpy as np

LIMIT = 1e-4
VALUES, LENGTH, DEPTH, WIDTH, HEADS, BATCH = 19, 24, 3, 32, 4, 5


def official(path):
    """Its module, loaded from its file, with a stand-in for what it samples with."""
    absent = types.ModuleType("transformers")
    absent.top_k_top_p_filtering = None
    sys.modules.setdefault("transformers", absent)
    where = pathlib.Path(path) / "taming/modules/transformer/mingpt.py"
    spec = importlib.util.spec_from_file_location("mingpt", where)
    module = importlib.util.module_from_spec(spec)
    sys.modules["mingpt"] = module
    spec.loader.exec_module(module)
    return module


def norm(layer):
    return {"scale": layer.weight.detach().numpy(), "bias": layer.bias.detach().numpy()}


def dense(*layers):
    """Kernels side by side, and biases."""
    kernel = np.concatenate([layer.weight.detach().numpy().T for layer in layers], 1)
    if layers[0].bias is None:
        return {"kernel": kernel}
    return {"kernel": kernel, "bias": np.concatenate([x.bias.detach().numpy() for x in layers])}


def block(layer):
    """Our parameters of a block."""
    attention, mlp = layer.attn, layer.mlp
    return {
        "norm1": norm(layer.ln1),
        "norm2": norm(layer.ln2),
        "attention": {
            "qkv": dense(attention.query, attention.key, attention.value),
            "out": dense(attention.proj),
        },
        "wide": dense(mlp[0]),
        "narrow": dense(mlp[2]),
    }


def ours(gpt, first):
    """Our parameters, where the token `first` stands in front."""
    import jax

    blocks = [block(layer) for layer in gpt.blocks]
    table, places = gpt.tok_emb.weight.detach().numpy(), gpt.pos_emb.detach().numpy()[0]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *blocks)
    return {
        "values": {"table": {"embedding": table}},
        "places": {"table": places[1:]},
        "front": {"start": table[first] + places[0]},
        "blocks": {"blocks": stacked, "norm": norm(gpt.ln_f)},
        "says": {"head": dense(gpt.head)},
    }


def main(path):
    import jax
    import torch

    from jaxgen.models.autoregressive.transformer import Transformer
    from jaxgen.nn.heads import Head

    torch.manual_seed(0)
    module = official(path)
    gpt = module.GPT(VALUES, LENGTH + 1, n_layer=DEPTH, n_head=HEADS, n_embd=WIDTH).eval()
    for parameter in gpt.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    first, x = 7, np.random.RandomState(0).randint(0, VALUES, (BATCH, LENGTH)).astype(np.int32)
    seen = np.concatenate([np.full((BATCH, 1), first), x[:, :-1]], 1)
    with torch.no_grad():
        logits = gpt(torch.from_numpy(seen).long())[0].numpy()

    model, head = Transformer(DEPTH, WIDTH, HEADS), Head(VALUES, VALUES)
    params = ours(gpt, first)
    params["places"]["table"] = params["places"]["table"][:LENGTH]
    expected = jax.eval_shape(lambda: model.init(jax.random.key(0), jax.numpy.asarray(x), head))
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, b.shape), params, expected["params"])
    whole = model.apply({"params": params}, x, head)
    steps, cache = [], {}
    for t in range(LENGTH):
        variables = {"params": params, **cache}
        found, cache = model.apply(variables, x, t, head, method="step", mutable=["cache"])
        steps.append(found)
    worst = 0.0
    for name, found in (("whole passes", whole), ("steps with a cache", np.stack(steps, 1))):
        error = float(np.abs(np.asarray(found) - logits).max())
        print(f"{name}: {error:.1e}, of logits up to {np.abs(logits).max():.1f}")
        worst = max(worst, error)
    return worst > LIMIT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
