"""Arrays that networks take and give, by their axes, for annotations.

An axis has one size within a call: `Images` to `Images` keeps the shape, `Images` to `Resized`
need not.
"""

from jaxtyping import Array, Float

Images = Float[Array, "b h w c"]  # or features at positions
Resized = Float[Array, "b h2 w2 c2"]
Halved = Float[Array, "b h//2 w//2 c"]  # of `Images`
Doubled = Float[Array, "b 2*h 2*w c"]
Examples = Float[Array, "b *event"]  # images or points
Features = Float[Array, "b *event c"]  # of points, or at positions
Wide = Float[Array, "b *event c2"]
Codes = Float[Array, "b latent"]  # z
Styles = Float[Array, "b style"]  # w
LayerStyles = Float[Array, "b layers style"]
Batched = Float[Array, "b ..."]  # of any further shape, and of several in one call
Example = Float[Array, "*event"]  # one of `Examples`
PerExample = Float[Array, " b"]
Rows = Float[Array, "b d"]
Channels = Float[Array, "b c"]
Logits = Float[Array, " b"]
