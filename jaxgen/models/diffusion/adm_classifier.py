"""The classifier of noisy images that guides ADM: half a U-Net, and attention that pools.

Source: Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis" (NeurIPS), section
4 and appendix F, and the official code (openai/guided-diffusion). The pooling is CLIP's (Radford et
al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 2.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.models.diffusion.adm import embedded, plan_of
from jaxgen.nn.arrays import Images, PerExample, Rows
from jaxgen.nn.unet import Down, Middle, Plan, heads_of, parted
from jaxgen.ops.products import attention


class AttentionPool(nn.Module):
    """The mean of all positions asks each of them.

    Attributes:
        plan: the network's.
        features: out.
    """

    plan: Plan
    features: int

    @nn.compact
    def __call__(self, h: Images) -> Rows:
        """[B, h, w, C] -> [B, features]."""
        c = h.shape[-1]
        flat = h.reshape(h.shape[0], -1, c)
        flat = jnp.concatenate([jnp.mean(flat, axis=1, keepdims=True), flat], axis=1)
        init = nn.initializers.normal(c**-0.5)
        flat = flat + self.param("places", init, flat.shape[1:])[None].astype(flat.dtype)
        joint = self.plan.dense(3 * c, "qkv", dtype=flat.dtype)(flat)
        query, key, value = parted(joint, heads_of(self.plan, c), "qkv")
        heard = attention(query[:, :1], key, value).reshape(h.shape[0], c)
        return self.plan.dense(self.features, "out", dtype=flat.dtype)(heard)


class ADMClassifier(nn.Module):
    """The network, with the sizes of ImageNet 64x64.

    Attributes as of `ADM`.
    """

    classes: int
    width: int = 128
    multipliers: Sequence[int | float] = (1, 2, 3, 4)
    blocks: int = 4
    attention: Sequence[int] = (32, 16, 8)
    head_width: int | None = 64
    heads: int = 4
    order: str = "legacy"
    scale_shift: bool = True
    updown: bool = True
    dropout: float = 0.0
    remat: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Images, time: PerExample, train: bool = False) -> Rows:
        """Noisy images [B, H, W, C] and numbers of steps [B] to logits [B, classes], float32."""
        plan, real = plan_of(self), jnp.result_type(float)
        emb = nn.silu(embedded(plan, time))
        h = Down(plan, plan.widths[0], name="down")(x, emb, train)[-1]
        h = Middle(plan, name="middle")(h, emb, train).astype(real)
        h = nn.silu(plan.norm(h.shape[-1], "norm", real)(h))
        return AttentionPool(plan, self.classes, name="pool")(h)
