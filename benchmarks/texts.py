"""Pictures of texts and texts of pictures, read by rules: no network judges here but the run's own.

    python benchmarks/texts.py pictures RUN [--num=1000] [--seed=0]
    python benchmarks/texts.py captions RUN [--num=1000] [--beam=5] [--seed=0]

`pictures` is of runs of configs/stackgan.py on the set `captions`: one picture is drawn of each
caption, of the test split and of "combinations", whose pairs of shape and colour no train picture
has, and read by the rules of the set. A picture is right where all that its caption says is so.
R-precision is the share of pictures that fit their own caption better than 99 with another
meaning: "by rules" counts the attributes that are so, a tie is half lost by chance; "by the
matcher" is the run's own. The control are texts that were shuffled. Scales agree where the smaller
pictures, enlarged, are read as the last. What a caption leaves out should vary: entropy, of the
largest. The area under the curve (AUC) is of the discriminators' logits, added up over sizes.

`captions` is of runs of configs/caption_gan.py: five captions of each test picture, drawn and by
beam search, and those of the grammar itself. A caption is grammatical where the grammar can say it,
true where all that it says is so; the total variation is between how things are said (form and
synonyms) and the grammar's own distribution over it, or over forms alone.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

import numpy as np

import jaxgen
from jaxgen.data.embedded import captions
from jaxgen.evaluate import sentences

SPLITS = ("test", "combinations")
MEANING = tuple(captions.COUNT_OF)
SAID = ("shape", "colour", "said_size", "said_place")
RIVALS = 99
SILENT = np.array([*captions.COUNT_OF.values()])  # an attribute of this value is not said


def main() -> None:
    parser = argparse.ArgumentParser(description="Read pictures of texts, or texts.")
    parser.add_argument("what", choices=("pictures", "captions"))
    parser.add_argument("run")
    parser.add_argument("--num", type=int, default=1000)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    run = jaxgen.load(arguments.run)
    print(f"{arguments.run}, step {run.step}, {arguments.num} of each split, {arguments.seed=}")
    if arguments.what == "pictures":
        of_pictures(run, arguments.num, arguments.seed)
    else:
        of_captions(run, arguments.num, arguments.beam, arguments.seed)


def of_pictures(run: Any, num: int, seed: int) -> None:
    """A line for each split."""
    for split in SPLITS:
        batch = run.dataset().splits[split].take(np.arange(num))
        given = {name: batch[name] for name in run.method.given}
        x = run.sample(num, seed, given=given)
        said = np.stack([batch[k] for k in SAID], 1)
        if "text" not in given:
            said = np.stack([batch[k] for k in MEANING], 1)
        found = captions.read(x)
        so = is_so(found, said)
        line = [f"{split:13} all {share(so.all(1))}"]
        line += [f"{k} {100 * v:.1f}" for k, v in zip(MEANING, so.mean(0), strict=True)]
        real = is_so(captions.read(batch["x"]), said).all(1)
        others = np.random.RandomState(0).permutation(num)
        line += [f"real {100 * real.mean():.1f}"]
        line += [f"texts shuffled {100 * is_so(found, said[others]).all(1).mean():.1f}"]
        print("  ".join(line), flush=True)
        scales(run, num, seed, given, found)
        silence(found, said)
        precision(run, x, found, said, batch, others)


def is_so(found: np.ndarray, said: np.ndarray) -> np.ndarray:
    """bool [N, 4]: of each attribute, whether what is said is there, or nothing is said."""
    return (found == said) | (said == SILENT)


def share(right: Any) -> str:
    """In percent, with its standard error."""
    return f"{100 * right.mean():.1f} ± {100 * right.std() / len(right) ** 0.5:.1f}"


def scales(run: Any, num: int, seed: int, given: Any, found: np.ndarray) -> None:
    """How often the smaller pictures are read as the last."""
    line = []
    last = run.sample(num, seed, given=given).astype(np.float64)
    for stage in range(1, run.method.generator.stages):
        x = run.sample(num, seed, given=given, stage=stage)
        block = 2 ** (run.method.generator.stages - stage)
        means = last.reshape(num, *(n for s in x.shape[1:3] for n in (s // block, block)), 3)
        small = x[:, ::block, ::block].astype(np.float64)
        error = np.abs(means.mean((2, 4)) - small).mean() / 255
        same = (captions.read(x)[:, 1:] == found[:, 1:]).all(1)
        line.append(f"stage {stage}: {100 * same.mean():.1f} (error {error:.3f} of the range)")
    print(f"{'':13} colour, size and place read as in the last, {', '.join(line)}", flush=True)


def silence(found: np.ndarray, said: np.ndarray) -> None:
    """Entropy of attributes that are not said, as a share of the largest."""
    for i, name in enumerate(MEANING):
        drawn = found[(said[:, i] == SILENT[i]) & (found[:, i] >= 0), i]
        if len(drawn):
            p = np.bincount(drawn, minlength=SILENT[i]) / len(drawn)
            entropy = -np.sum(p * np.log(np.where(p > 0, p, 1))) / np.log(SILENT[i])
            print(f"{'':13} {name} not said, {len(drawn)}: entropy {entropy:.2f}", flush=True)


def precision(
    run: Any,
    x: np.ndarray,
    found: np.ndarray,
    said: np.ndarray,
    batch: Any,
    shuffled: np.ndarray,
) -> None:
    """R-precision by rules, and by the matcher where there is one, with its control."""
    random = np.random.RandomState(1)
    meaning = np.stack([batch[k] for k in MEANING], 1)
    rivals = []
    for i in range(len(said)):
        apart = np.flatnonzero(~is_so(meaning[i][None], said).all(1))
        rivals.append(random.choice(apart, RIVALS, replace=len(apart) < RIVALS))
    every = np.concatenate([np.arange(len(said))[:, None], np.stack(rivals)], 1)
    print(f"{'':13} {told_apart(run, batch, every[:, 1])}", flush=True)
    for name, order in (("drawn", np.arange(len(said))), ("shuffled", shuffled)):
        fits = is_so(found[order][:, None], said[every]).sum(-1)
        best = fits.max(1)
        first = (fits[:, 0] == best) / (fits == best[:, None]).sum(1)
        line = f"R-precision, {name}: by rules {100 * first.mean():.1f}"
        if run.method.matcher is not None:
            first = matched(run, x[order], batch["text"][every])
            line += f", by the matcher {100 * first.mean():.1f}"
        print(f"{'':13} {line}", flush=True)


def told_apart(run: Any, batch: Any, other: np.ndarray) -> str:
    """How well the discriminators tell the texts of real pictures from wrong ones.

    Args:
        run: of StackGAN.
        batch: of examples.
        other: of each an example whose text is not so in its picture.
    """
    import jax
    from sklearn.metrics import roc_auc_score

    method, state = run.method, run.state.averaged()

    @jax.jit
    def logits(x: Any, given: Any) -> Any:
        code = method.code(state, method.givens.of_batch(given))
        out = method.painted(state, jax.random.key(0), code, 1.0)
        real = method.real(method.scaled(x), [made.shape[1] for made in out.images])
        found = method.judge.apply(state, real, method.told(out, code))
        return sum(with_text for with_text, _ in found)

    given = {name: batch[name] for name in method.given}
    right = logits(batch["x"], given)
    wrong = logits(batch["x"], {name: value[other] for name, value in given.items()})
    truth = np.repeat([1, 0], len(other))
    area = roc_auc_score(truth, np.concatenate([right, wrong]))
    return f"discriminators, right from wrong texts of real pictures: AUC {area:.3f}"


def matched(run: Any, x: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Whether each picture's first text [N, K, T] fits best, by the run's matcher."""
    import jax

    state = run.state.averaged()
    match = jax.jit(lambda x, text: run.method.matches(state, x, text))
    found = []
    for picture, own in zip(x, texts, strict=True):
        repeated = np.broadcast_to(picture, (len(own), *picture.shape))
        found.append(np.argmax(match(repeated, own)) == 0)
    return np.array(found)


def of_captions(run: Any, num: int, beam: int, seed: int) -> None:
    """A line for drawn captions, for those of beam search, and for the grammar's own."""
    for split in SPLITS:
        batch = run.dataset().splits[split].take(np.arange(num))
        meaning = np.stack([batch[k] for k in MEANING], 1)
        own = [[captions.TEXT.text(t) for t in texts] for texts in batch["captions"]]
        several = captions.SEVERAL
        said = {
            "drawn": run.caption(batch["picture"], several, seed=seed),
            f"beam of {beam}": run.caption(batch["picture"], several, beam, seed),
            "the likeliest": run.caption(batch["picture"], 1, beam, seed),
            "grammar": own,
        }
        for name, texts in said.items():
            show(f"{split:13} {name:13}", texts, meaning)


def show(name: str, texts: list[list[str]], meaning: np.ndarray) -> None:
    """A line."""
    flat = [(t, m) for own, m in zip(texts, meaning, strict=True) for t in own]
    known = [(captions.SENTENCES.get(t), m) for t, m in flat]
    true = [s is not None and s.is_true(m) for s, m in known]
    manners = [None if s is None else s.manner for s, _ in known]
    forms = [None if s is None else s.form for s, _ in known]
    sets = [[t.split() for t in own] for own in texts]
    of_forms: dict[Any, float] = dict(enumerate(captions.FORMS.values()))
    line = [
        f"grammatical {100 * np.mean([s is not None for s, _ in known]):.1f}",
        f"true {100 * np.mean(true):.1f}",
        f"TV {sentences.total_variation(manners, spoken(meaning)):.3f}",
        f"of forms {sentences.total_variation(forms, of_forms):.3f}",
    ]
    if len(texts[0]) > 1:
        line += [
            f"Div-1 {sentences.distinct(sets, 1):.3f}",
            f"Div-2 {sentences.distinct(sets, 2):.3f}",
        ]
        line += [f"mBLEU-4 {sentences.mutual_bleu(sets):.3f}"]
    print(f"{name} {'  '.join(line)}", flush=True)


def spoken(meaning: np.ndarray) -> dict[Any, float]:
    """Manner -> its probability, mean over pictures."""
    found: dict[Any, float] = {}
    for sentence in captions.SENTENCES.values():
        found[sentence.manner] = 0.0
    for key, count in Counter(map(tuple, meaning.tolist())).items():
        tokens, chances = captions.spoken_of(*key)
        for words, chance in zip(tokens, chances, strict=True):
            manner = captions.SENTENCES[captions.TEXT.text(words)].manner
            found[manner] += chance * count / len(meaning)
    return found


if __name__ == "__main__":
    main()
