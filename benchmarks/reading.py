"""Images a second from a folder of JPEGs, beside PyTorch's DataLoader, in one run.

    python benchmarks/reading.py [--files=20000] [--workers=2] [--by_threads] [--side=64]
        [--rounds=3]

Both decode the same files with Pillow, cut the largest square, scale it (Lanczos) and give shuffled
batches of 128; neither trains. jaxgen decodes what fits into 512 MB once, before the first step,
which is timed apart, and reads memory then; with --in_memory_mb=0 it decodes at every visit. Files
are noise of several scales, of CelebA's size. Seconds of whole passes, alternating: jaxgen,
PyTorch, jaxgen, PyTorch.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import numpy as np
import PIL.Image

BATCH = 128


def write(folder, files):
    """JPEGs of 178x218, some 12 KB each."""
    random = np.random.RandomState(0)
    for i in range(files):
        coarse = random.randint(256, size=(14, 11, 3)).astype(np.uint8)
        image = PIL.Image.fromarray(coarse).resize((178, 218), PIL.Image.Resampling.BICUBIC)
        grain = random.randint(-12, 13, size=(218, 178, 3))
        pixels = np.clip(np.asarray(image, int) + grain, 0, 255).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{i:06}.jpg", quality=90)


def ours(folder, side, steps, in_memory_mb, **workers):
    """A function that reads `steps` train batches."""
    import jaxgen.data
    from jaxgen.data.loader import train_batches

    options = dict(size=(side, side), fit="crop", in_memory_mb=in_memory_mb, **workers)
    start = time.perf_counter()
    dataset = jaxgen.data.load(str(folder), **options)
    print(f"jaxgen: scanned, and decoded what it keeps, in {time.perf_counter() - start:.1f} s")

    def read():
        batches = train_batches(dataset.splits["train"], BATCH, seed=0, threads=dataset.threads)
        for _ in range(steps):
            shape = next(batches)[1]["x"].shape
        batches.close()
        assert shape == (BATCH, side, side, 3)

    return read


def theirs(folder, side, steps, workers):
    """The same by a DataLoader with worker processes."""
    import torch

    paths = sorted(folder.glob("*.jpg"))

    class Faces(torch.utils.data.Dataset):
        def __len__(self):
            return len(paths)

        def __getitem__(self, index):
            with PIL.Image.open(paths[index]) as image:
                image = image.convert("RGB")
            low = (image.height - image.width) // 2
            image = image.crop((0, low, image.width, low + image.width))
            image = image.resize((side, side), PIL.Image.Resampling.LANCZOS)
            return torch.from_numpy(np.array(image))

    loader = torch.utils.data.DataLoader(
        Faces(), BATCH, shuffle=True, num_workers=workers, persistent_workers=True, drop_last=True
    )

    def read():
        for step, batch in enumerate(loader, 1):  # noqa: B007
            if step == steps:
                break
        assert batch.shape == (BATCH, side, side, 3)

    return read


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2, help="processes of PyTorch and of jaxgen")
    parser.add_argument("--by_threads", action="store_true", help="jaxgen reads in threads instead")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--in_memory_mb", type=float, default=512)
    arguments = parser.parse_args()
    steps = int(arguments.files * 0.9) // BATCH
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write(folder, arguments.files)
        made, count = (folder, arguments.side, steps), arguments.workers
        own = {"threads" if arguments.by_threads else "workers": count}
        both = {
            "jaxgen": ours(*made, arguments.in_memory_mb, **own),
            "PyTorch": theirs(*made, count),
        }
        taken = {name: [] for name in both}
        for round_ in range(arguments.rounds + 1):  # the first warms the disk's cache
            for name, read in both.items():
                start = time.perf_counter()
                read()
                if round_:
                    taken[name].append(time.perf_counter() - start)
    for name, seconds in taken.items():
        rates = [steps * BATCH / s for s in seconds]
        every = ", ".join(f"{rate:,.0f}" for rate in rates)
        print(f"{name}: {statistics.median(rates):,.0f} images/s ({every})")
    ratios = [a / b for a, b in zip(taken["PyTorch"], taken["jaxgen"], strict=True)]
    print(f"jaxgen reads {statistics.median(ratios):.2f} times as many a second")


if __name__ == "__main__":
    main()
