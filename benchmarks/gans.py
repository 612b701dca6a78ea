"""Step time of adversarial training: DCGAN, R3GAN and StyleGAN2, against PyTorch eager.

    python benchmarks/gans.py dcgan         8x8 and 64x64; needs `pip install .[benchmark]`
    python benchmarks/gans.py r3gan         R1 and R2 at every step
    python benchmarks/gans.py stylegan2     R1 every 16 steps and path length every 4
    python benchmarks/gans.py stylegan2 --quick    one small size, few repeats: does it run?

Runs alternate, A B A B, in one process; printed are medians and medians of ratios of pairs. A DCGAN
step is one move of each player. A StyleGAN2 run is a cycle of 16 steps with lazy turns, reported
per step; `not lazy` plays both penalties at every step. The PyTorch networks are written here after
the papers, channels-last; moving averages of parameters are left out on both sides.
"""

import argparse
import math
import os
import statistics
import time

from jaxgen.platform import set_defaults

set_defaults()
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"

import jax  # noqa: E402
import numpy as np  # noqa: E402

from jaxgen.methods.adversarial import Adversarial  # noqa: E402
from jaxgen.methods.stylegan2 import StyleGAN2  # noqa: E402
from jaxgen.models.gans import dcgan, r3gan, stylegan2  # noqa: E402
from jaxgen.sharding import make_mesh  # noqa: E402
from jaxgen.train.optim import optimizer  # noqa: E402
from jaxgen.train.program import build_program  # noqa: E402
from jaxgen.types import DataSpec  # noqa: E402

CYCLE = 16
LATENT = 64
DCGANS = {"8x8, width 32": (8, 1, 32, 64), "64x64, width 64": (64, 3, 64, 16)}
R3GANS = {  # side, colours, widths, cardinalities, batch
    "8x8": (8, 1, (64, 32), (8, 8), 64),
    "32x32": (32, 3, (96, 96, 64, 32), (12, 12, 8, 4), 16),
}
STYLED = {"16x16, 64 channels": (16, 1, 64, 16), "32x32, 128 channels": (32, 3, 128, 16)}
QUICK = {"8x8, 16 channels": (8, 1, 16, 8)}  # side, colours, most channels, batch


def images(side, colours, batch):
    shape = (batch, side, side, colours)
    return np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)


def jax_run(method, batch, steps, **adam):
    """A function of `steps` train steps, to their end."""
    optimizers = {p: optimizer("adam", **adam) for p in ("generator", "discriminator")}
    program = build_program(method, optimizers, {}, make_mesh(), {"x": batch}, seed=0)
    step, holder = program.compile(), [program.init({"x": batch})]
    placed = program.put([{"x": batch}])

    def run():
        for _ in range(steps):
            holder[0], out = step(holder[0], placed, program.rng, np.int32(1))
        jax.block_until_ready(out)

    return run


def torch_dcgan(side, colours, width, x):
    """The networks of `models.gans.dcgan`, non-saturating, one move of each."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    times = int(math.log2(side // 4))
    most = width * 2 ** (times - 1)

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(LATENT, 16 * most, bias=False)
            layers, c = [nn.BatchNorm2d(most), nn.ReLU()], most
            for _ in range(times - 1):
                layers += [nn.ConvTranspose2d(c, c // 2, 4, 2, 1, bias=False)]
                c //= 2
                layers += [nn.BatchNorm2d(c), nn.ReLU()]
            self.rest = nn.Sequential(*layers, nn.ConvTranspose2d(c, colours, 4, 2, 1), nn.Tanh())

        def forward(self, z):
            return self.rest(channels_last(self.first(z).view(-1, most, 4, 4)))

    layers, c = [], colours
    for i in range(times):
        layers.append(nn.Conv2d(c, width * 2**i, 4, 2, 1, bias=i == 0))
        c = width * 2**i
        layers += [nn.BatchNorm2d(c), nn.LeakyReLU(0.2)] if i else [nn.LeakyReLU(0.2)]
    g = Generator().to(memory_format=torch.channels_last)
    d = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * c, 1))
    d = d.to(memory_format=torch.channels_last)
    adams = [torch.optim.Adam(n.parameters(), 2e-4, (0.5, 0.999)) for n in (g, d)]
    x = torch.from_numpy(x).permute(0, 3, 1, 2)

    def run():
        real = channels_last(x.float() / 127.5 - 1)
        with torch.no_grad():
            fake = g(torch.randn(len(x), LATENT))
        move(adams[1], (F.softplus(-d(real)) + F.softplus(d(fake))).mean())
        move(adams[0], F.softplus(-d(g(torch.randn(len(x), LATENT)))).mean())

    return run


def torch_r3gan(side, colours, widths, cardinalities, x):
    """The networks of `models.gans.r3gan`, one block a stage, relativistic with R1 and R2."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    taps, gain = torch.outer(taps, taps)[None, None], math.sqrt(2 / 1.04)

    def conv(ci, co, size=1, groups=1, gain=1.0):
        layer = nn.Conv2d(ci, co, size, padding=size // 2, groups=groups, bias=False)
        nn.init.normal_(layer.weight, std=gain / math.sqrt(ci // groups * size**2))
        return layer

    def doubled(x):
        kernel = (4 * taps).expand(x.shape[1], 1, 4, 4)
        return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])

    def halved(x):
        kernel = taps.expand(x.shape[1], 1, 4, 4)
        return F.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])

    class Block(nn.Module):
        def __init__(self, c, groups):
            super().__init__()
            scale = gain * len(widths) ** -0.25
            self.widen, self.grouped = conv(c, 2 * c, 1, 1, scale), conv(2 * c, 2 * c, 3, groups)
            self.narrow = conv(2 * c, c, gain=0.0)
            self.biases = nn.ParameterList(torch.zeros(1, 2 * c, 1, 1) for _ in range(2))

        def forward(self, x):
            h = F.leaky_relu(self.widen(x) + self.biases[0], 0.2)
            return x + self.narrow(F.leaky_relu(self.grouped(h) + self.biases[1], 0.2))

    class Resampled(nn.Module):
        def __init__(self, ci, co, up):
            super().__init__()
            self.conv, self.up = conv(ci, co) if ci != co else nn.Identity(), up

        def forward(self, x):
            return doubled(self.conv(x)) if self.up else self.conv(halved(x))

    def stages(widths, cardinalities, up):
        layers, before = [], widths[0]
        for i, (c, groups) in enumerate(zip(widths, cardinalities, strict=True)):
            layers += [Resampled(before, c, up)] if i else []
            layers, before = [*layers, Block(c, groups)], c
        return nn.Sequential(*layers)

    class Basis(nn.Module):
        def __init__(self):
            super().__init__()
            least = side >> (len(widths) - 1)
            self.basis = nn.Parameter(torch.randn(1, widths[0], least, least))

    class Generator(Basis):
        def __init__(self):
            super().__init__()
            self.weights = nn.Linear(LATENT, widths[0], bias=False)
            self.stages = stages(widths, cardinalities, True)
            self.image = conv(widths[-1], colours)

        def forward(self, z):
            x = channels_last(self.basis * self.weights(z)[:, :, None, None])
            return self.image(self.stages(x))

    class Discriminator(Basis):
        def __init__(self):
            super().__init__()
            self.image = conv(colours, widths[-1])
            self.stages = stages(widths[::-1], cardinalities[::-1], False)
            self.logit = nn.Linear(widths[0], 1, bias=False)

        def forward(self, x):
            return self.logit((self.stages(self.image(x)) * self.basis).sum((2, 3)))[:, 0]

    g, d = (n.to(memory_format=torch.channels_last) for n in (Generator(), Discriminator()))
    adams = [torch.optim.Adam(n.parameters(), 2e-4, (0.0, 0.99)) for n in (g, d)]
    x = torch.from_numpy(x).permute(0, 3, 1, 2)

    def slopes(logits, x):
        (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        return slope.square().sum((1, 2, 3))

    def run():
        real = channels_last(x.float() / 127.5 - 1).requires_grad_()
        with torch.no_grad():
            fake = g(torch.randn(len(x), LATENT))
        fake.requires_grad_()
        logits, others = d(real), d(fake)
        penalty = 0.5 * (slopes(logits, real) + slopes(others, fake))
        move(adams[1], (F.softplus(others - logits) + penalty).mean())
        d.requires_grad_(False)
        fake = d(g(torch.randn(len(x), LATENT)))
        move(adams[0], F.softplus(d(real.detach()) - fake).mean())
        d.requires_grad_(True)

    return run


def channels_last(x):
    import torch

    return x.contiguous(memory_format=torch.channels_last)


def move(adam, loss):
    adam.zero_grad(set_to_none=True)
    loss.backward()
    adam.step()


def torch_stylegan2(side, colours, most, x, every):
    """The networks of `models.gans.stylegan2`, and its turns; `every` of (path length, R1)."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    filters = torch.outer(taps, taps)[None, None]
    levels = int(math.log2(side))
    gain = math.sqrt(2)

    def blur(x, pads, scale=1.0):
        c = x.shape[1]
        kernel = (scale * filters).expand(c, 1, 4, 4)
        return F.conv2d(F.pad(x, pads), kernel, groups=c)

    def active(x, bias):
        return gain * F.leaky_relu(x + bias.view(1, -1, *[1] * (x.dim() - 2)), 0.2)

    class Equal(nn.Module):
        def __init__(self, shape, rate=1.0, bias=0.0):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(shape) / rate)
            self.bias = nn.Parameter(torch.full((shape[0],), bias))
            self.scale, self.rate = rate / math.sqrt(math.prod(shape[1:])), rate

        @property
        def kernel(self):
            return self.weight * self.scale

        def dense(self, x):
            return F.linear(x, self.kernel, self.bias * self.rate)

    class Styled(nn.Module):
        def __init__(self, c, out, up):
            super().__init__()
            self.affine, self.up = Equal((c, LATENT), bias=1.0), up
            self.weight = nn.Parameter(torch.randn(out, c, 3, 3))
            self.strength = nn.Parameter(torch.zeros(()))
            self.bias = nn.Parameter(torch.zeros(out))

        def forward(self, x, w):
            style = self.affine.dense(w)
            x = x * style[:, :, None, None]
            if self.up:
                x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
                x = blur(x, (1, 1, 1, 1), 4.0)
            else:
                x = F.conv2d(x, self.weight, padding=1)
            squares = self.weight.square().sum((2, 3))
            x = x * torch.rsqrt(style.square() @ squares.T + 1e-8)[:, :, None, None]
            noise = torch.randn(len(x), 1, *x.shape[2:])
            return active(x + self.strength * noise, self.bias)

    class Image(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.affine = Equal((c, LATENT), bias=1.0)
            self.weight = nn.Parameter(torch.randn(colours, c, 1, 1))
            self.bias = nn.Parameter(torch.zeros(colours))

        def forward(self, x, w):
            style = self.affine.dense(w) / math.sqrt(x.shape[1])
            return F.conv2d(x * style[:, :, None, None], self.weight, self.bias)

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.mapping = nn.ModuleList(Equal((LATENT, LATENT), 0.01) for _ in range(8))
            self.constant = nn.Parameter(torch.randn(1, most, 4, 4))
            self.convs = nn.ModuleList([Styled(most, most, False)])
            self.images = nn.ModuleList([Image(most)])
            for _ in range(levels - 2):
                self.convs += [Styled(most, most, True), Styled(most, most, False)]
                self.images.append(Image(most))

        def map(self, z):
            h = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
            for layer in self.mapping:
                h = gain * F.leaky_relu(layer.dense(h), 0.2)
            return h

        def styles(self, num):
            first, second = (self.map(torch.randn(num, LATENT)) for _ in range(2))
            count = 2 * levels - 2
            cut = int(torch.randint(1, count, ())) if torch.rand(()) < 0.9 else count
            return torch.stack([first if i < cut else second for i in range(count)], 1)

        def forward(self, styles):
            x = channels_last(self.constant.expand(len(styles), -1, -1, -1))
            x = self.convs[0](x, styles[:, 0])
            image = self.images[0](x, styles[:, 1])
            for i in range(levels - 2):
                x = self.convs[2 * i + 1](x, styles[:, 2 * i + 1])
                x = self.convs[2 * i + 2](x, styles[:, 2 * i + 2])
                wide = torch.zeros(*image.shape[:2], 2 * image.shape[2], 2 * image.shape[3])
                wide[:, :, ::2, ::2] = image
                image = blur(wide, (2, 1, 2, 1), 4.0) + self.images[i + 1](x, styles[:, 2 * i + 3])
            return image

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            self.image = Equal((most, colours, 1, 1))
            shapes = ((most, most, 1, 1), (most, most, 3, 3), (most, most, 3, 3))
            self.blocks = nn.ModuleList(
                nn.ModuleList(Equal(s) for s in shapes) for _ in range(levels - 2)
            )
            self.last = Equal((most, most + 1, 3, 3))
            self.dense, self.logit = Equal((most, 16 * most)), Equal((1, most))

        def forward(self, x):
            h = active(F.conv2d(x, self.image.kernel), self.image.bias)
            for skip, conv, down in self.blocks:
                s = F.conv2d(blur(h, (1, 1, 1, 1))[:, :, ::2, ::2], skip.kernel)
                h = active(F.conv2d(h, conv.kernel, padding=1), conv.bias)
                h = active(F.conv2d(blur(h, (2, 2, 2, 2)), down.kernel, stride=2), down.bias)
                h = (s + h) * math.sqrt(0.5)
            groups = h.view(4, -1, *h.shape[1:])
            spread = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
            spread = spread.repeat(4).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
            h = F.conv2d(torch.cat([h, spread], 1), self.last.kernel, padding=1)
            h = active(h, self.last.bias)
            h = active(F.linear(h.flatten(1), self.dense.kernel), self.dense.bias)
            return self.logit.dense(h)[:, 0]

    g, d = Generator(), Discriminator()
    adams = [torch.optim.Adam(n.parameters(), 2e-3, (0.0, 0.99)) for n in (g, d)]
    x = torch.from_numpy(x).permute(0, 3, 1, 2)
    mean, num = [torch.zeros(())], len(x)

    def path():
        styles = g.styles(num // 2)
        y = torch.randn(num // 2, colours, side, side) / side
        (slope,) = torch.autograd.grad((g(styles) * y).sum(), styles, create_graph=True)
        lengths = slope.square().sum(2).mean(1).sqrt()
        now = 0.99 * mean[0] + 0.01 * lengths.mean()
        mean[0] = now.detach()
        return 2.0 * every[0] * (lengths - now).square().mean()

    def r1(real):
        real = real.detach().requires_grad_()
        (slope,) = torch.autograd.grad(d(real).sum(), real, create_graph=True)
        return 0.5 * every[1] * slope.square().sum((1, 2, 3)).mean()

    def run():
        for step in range(CYCLE):
            real = channels_last(x.float() / 127.5 - 1)
            move(adams[0], F.softplus(-d(g(g.styles(num)))).mean())
            if step % every[0] == 0:
                move(adams[0], path())
            with torch.no_grad():
                fake = g(g.styles(num))
            move(adams[1], (F.softplus(-d(real)) + F.softplus(d(fake))).mean())
            if step % every[1] == 0:
                move(adams[1], r1(real))

    return run


def styled(side, colours, most, every):
    spec = DataSpec.of("noise", (side, side, colours), 256)
    players = (
        stylegan2.Generator(LATENT, LATENT, base=side * most, most=most),
        stylegan2.Discriminator(base=side * most, most=most),
    )
    penalties = {"r1": {"weight": 1.0, "every": every[1]}}
    return StyleGAN2(*players, spec, penalties=penalties, path_every=every[0])


def relativistic(side, colours, widths, cardinalities):
    blocks = (1,) * len(widths)
    players = (
        r3gan.Generator(LATENT, widths, cardinalities, blocks),
        r3gan.Discriminator(widths[::-1], cardinalities[::-1], blocks),
    )
    spec, penalties = DataSpec.of("noise", (side, side, colours), 256), ("r1", "r2")
    penalties = {name: {"weight": 1.0} for name in penalties}
    return Adversarial(*players, spec, game="relativistic", penalties=penalties)


def compare(name, runs, repeats, steps):
    times = {kind: [] for kind in runs}
    for i in range(repeats + 1):
        for kind, run in runs.items():
            start = time.perf_counter()
            run()
            if i:
                times[kind].append((time.perf_counter() - start) / steps)
    medians = {kind: f"{1000 * statistics.median(v):.1f} ms" for kind, v in times.items()}
    pairs = [a / b for a, b in zip(times["jaxgen"], times["torch"], strict=True)]
    print(f"{name}: a step {medians}, jaxgen / torch {statistics.median(pairs):.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("dcgan", "r3gan", "stylegan2"))
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    repeats = 2 if arguments.quick else 15
    if arguments.what == "dcgan":
        sizes = dict(list(DCGANS.items())[:1]) if arguments.quick else DCGANS
        for name, (side, colours, width, batch) in sizes.items():
            x = images(side, colours, batch)
            players = dcgan.Generator(LATENT, width), dcgan.Discriminator(width)
            method = Adversarial(*players, DataSpec.of("noise", x.shape[1:], 256))
            adam = {"learning_rate": 2e-4, "b1": 0.5, "b2": 0.999}
            runs = {"jaxgen": jax_run(method, x, 1, **adam)}
            runs["torch"] = torch_dcgan(side, colours, width, x)
            compare(f"DCGAN {name}, batch {batch}", runs, repeats, 1)
        return
    if arguments.what == "r3gan":
        sizes = dict(list(R3GANS.items())[:1]) if arguments.quick else R3GANS
        for name, (side, colours, widths, cardinalities, batch) in sizes.items():
            x, network = images(side, colours, batch), (side, colours, widths, cardinalities)
            adam = {"learning_rate": 2e-4, "b1": 0.0, "b2": 0.99}
            runs = {"jaxgen": jax_run(relativistic(*network), x, 1, **adam)}
            runs["torch"] = torch_r3gan(*network, x)
            compare(f"R3GAN {name}, widths {widths}, batch {batch}", runs, repeats, 1)
        return
    for name, (side, colours, most, batch) in (QUICK if arguments.quick else STYLED).items():
        x = images(side, colours, batch)
        for kind, every in (("lazy", (4, 16)), ("not lazy", (1, 1))):
            adam = {"learning_rate": 2e-3, "b1": 0.0, "b2": 0.99}
            method = styled(side, colours, most, every)
            runs = {"jaxgen": jax_run(method, x, CYCLE, **adam)}
            runs["torch"] = torch_stylegan2(side, colours, most, x, every)
            compare(f"StyleGAN2 {name}, batch {batch}, {kind}", runs, repeats, CYCLE)


if __name__ == "__main__":
    main()
