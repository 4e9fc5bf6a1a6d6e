"""Generated spaces: like those of compression, but of any size, and their true front is known.

What is planted: layers differ in latency, and by orders of magnitude in how much they are hurt;
changing the precision between neighbours costs latency; removed channels also speed up the next
layer; harsh neighbours hurt more, or less, than the sum; so do a few layers far apart; accuracy
saturates at both ends. What is observed of it is noisy.

A search also has clues from its calibration data, before any trial. Here they are what is planted,
times a factor that is drawn for each layer: off by 4.5 times or more for a third of the errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.chain import Chain, Far, Floats, Ints
from paretune.evaluators.metric import Direction
from paretune.search.clues import Clues
from paretune.spaces.space import Knob

PRECISIONS = ("fp32", "int8", "w4", "w3", "w2", "ternary")
AMOUNTS = ("0", "0.25", "0.5")

TOP, CHANCE = 0.92, 0.1
LATENCY_NOISE = 0.01
"""Relative standard deviation."""
ACCURACY_NOISE = 0.002
"""Standard deviation."""

ERROR_CLUE, WORK_CLUE = 1.5, 0.5
"""Standard deviations of the logarithms of the factors that clues are wrong by."""

_UNITS = 100
"""Of a typical layer's latency."""
_SPEED = 0.65
"""Latency of the mildest precision on a typical layer, relative to none."""
_FASTER = 0.8
"""Times the latency from one precision to the next."""
_SPREAD = 0.4
"""Of that between layers, standard deviation of the logarithm."""
_LOSS = 0.015
"""Of all layers at the mildest precision."""
_HARSHER = 5.0
"""Times as much loss from one precision to the next."""
_HARSH = 2
"""Precisions from this index on interact."""


@dataclass(frozen=True)
class Recipe:
    """How large a space is.

    Attributes:
        layers: from 1 on.
        precisions: options of each layer.
        pruned: every so many layers has a knob for channels as well; 0 for none.
    """

    layers: int
    precisions: int = len(PRECISIONS)
    pruned: int = 0


RECIPES = {
    "generated20": Recipe(20),
    "generated40": Recipe(40, precisions=4, pruned=1),
    "generated60": Recipe(60),
    "generated100": Recipe(100, precisions=4, pruned=2),
    "generated200": Recipe(200, precisions=4),
}


class Generated:
    """One generated space, as `Problem` of `replay`: accuracy to maximize, latency to minimize.

    Attributes:
        knobs: `precision/LAYER`, and `channels/LAYER` on some, layer by layer.
        directions: of the objectives.
        chain: what is planted.
        clues: what a search knows before its first trial, as `paretune.search.clues` has it.
        front: true values of the whole front, shape (members, 2).
    """

    directions: tuple[Direction, ...] = ("maximize", "minimize")

    def __init__(self, recipe: Recipe, seed: int) -> None:
        rng = np.random.default_rng([recipe.layers, recipe.precisions, recipe.pruned, seed])
        amounts = [_amounts(recipe, layer) for layer in range(recipe.layers)]
        self.chain, base, rounding = _chain(recipe.precisions, amounts, rng)
        self.clues = _clues(amounts, base, rounding, rng)
        self._amounts = amounts
        knobs = []
        for layer, offered in enumerate(amounts):
            knobs.append(Knob(f"precision/{layer:03}", PRECISIONS[: recipe.precisions]))
            if len(offered) > 1:
                knobs.append(Knob(f"channels/{layer:03}", offered))
        self.knobs = tuple(knobs)
        # The first setting everywhere has no loss, so whatever is slower is dominated.
        self._slowest, _ = self.chain.evaluate(np.zeros(recipe.layers, np.int64))
        latencies, losses = self.chain.front(self._slowest)
        self.front = np.column_stack([_accuracy(losses), latencies / self._slowest])

    def truth(self, indices: Sequence[int]) -> Floats:
        """Accuracy and latency ratio of a setting of all knobs, shape (2,)."""
        given = iter(indices)
        states = [
            next(given) * len(offered) + (next(given) if len(offered) > 1 else 0)
            for offered in self._amounts
        ]
        latency, loss = self.chain.evaluate(np.array(states))
        return np.array([float(_accuracy(np.array(loss))), latency / self._slowest])

    def observe(self, indices: Sequence[int], rng: np.random.Generator) -> Floats:
        """`truth` with noise."""
        accuracy, latency = self.truth(indices)
        noise = rng.standard_normal(2)
        return np.array(
            [accuracy + ACCURACY_NOISE * noise[0], latency * np.exp(LATENCY_NOISE * noise[1])]
        )


def _amounts(recipe: Recipe, layer: int) -> tuple[str, ...]:
    pruned = recipe.pruned and layer % recipe.pruned == 0
    return AMOUNTS if pruned else AMOUNTS[:1]


def _accuracy(loss: Floats) -> Floats:
    return CHANCE + (TOP - CHANCE) * np.exp(-loss)


def _chain(
    precisions: int, amounts: Sequence[tuple[str, ...]], rng: np.random.Generator
) -> tuple[Chain, Floats, Floats]:
    """Also latencies of the layers, shape (layers,), and what precisions cost them, (layers, p)."""
    layers = len(amounts)
    base = _UNITS * np.exp(rng.normal(0, 0.7, layers))
    speed = _SPEED * _FASTER ** (np.arange(precisions) - 1.0)
    speed = speed * np.exp(rng.normal(0, _SPREAD, (layers, precisions)))
    speed[:, 0] = 1
    border = np.triu(rng.uniform(0.05, 0.3, (precisions, precisions)), 1)
    border += border.T
    sensitivity = np.exp(rng.normal(0, 2, (2, layers)))
    sensitivity *= _LOSS / sensitivity.sum(axis=1, keepdims=True)
    together = rng.uniform(-0.3, 0.8, layers)
    steps: list[Ints] = []
    losses: list[Floats] = []
    harsh: list[NDArray[np.bool_]] = []
    rounding: list[Floats] = []
    before = _Layer.none()
    for i in range(layers):
        here = _Layer.of(precisions, amounts[i], sensitivity[:, i], rng)
        own = base[i] * speed[i][here.precision] * (1 - here.amount)
        step = np.outer(1 - before.amount, own)
        if i:
            width = np.sqrt(base[i - 1] * base[i])
            step += width * border[np.ix_(before.precision, here.precision)]
        steps.append(np.maximum(1, np.rint(step)).astype(np.int64))
        both = np.outer(np.sqrt(before.loss) * before.harsh, np.sqrt(here.loss) * here.harsh)
        losses.append(here.loss[None] + together[i] * both)
        harsh.append(here.harsh)
        rounding.append(here.loss[here.amount == 0])
        before = here
    worth = sensitivity[0] * _HARSHER**_HARSH
    chain = Chain(tuple(steps), tuple(losses), tuple(harsh), _far(layers, worth, rng))
    return chain, base, np.array(rounding)


def _clues(
    amounts: Sequence[tuple[str, ...]], base: Floats, rounding: Floats, rng: np.random.Generator
) -> Clues:
    work = base * np.exp(rng.normal(0, WORK_CLUE, len(base)))
    errors = rounding * np.exp(rng.normal(0, ERROR_CLUE, (len(base), 1)))
    found: dict[str, dict[str, Sequence[float]]] = {}
    for layer, offered in enumerate(amounts):
        precision, channels = f"precision/{layer:03}", f"channels/{layer:03}"
        found.setdefault("error/mean_square", {})[precision] = list(errors[layer])
        found.setdefault("error/root", {})[precision] = list(np.sqrt(errors[layer]))
        for option in range(1, rounding.shape[1]):
            here = np.where(np.arange(rounding.shape[1]) == option, work[layer], 0)
            found.setdefault(f"work/{PRECISIONS[option]}", {})[precision] = list(here)
        if len(offered) > 1:
            share = [float(text) * work[layer] for text in offered]
            found.setdefault("work/channels", {})[channels] = share
    return found


@dataclass(frozen=True)
class _Layer:
    """A layer's states: every pair of a precision and an amount; all arrays of shape (states,)."""

    precision: Ints
    amount: Floats
    loss: Floats
    harsh: NDArray[np.bool_]

    @staticmethod
    def none() -> "_Layer":
        return _Layer(np.zeros(1, np.int64), np.zeros(1), np.zeros(1), np.zeros(1, np.bool_))

    @staticmethod
    def of(
        precisions: int, offered: Sequence[str], sensitivity: Floats, rng: np.random.Generator
    ) -> "_Layer":
        precision = np.repeat(np.arange(precisions), len(offered))
        amount = np.tile([float(text) for text in offered], precisions)
        jitter = np.exp(rng.normal(0, 0.3, precisions))
        rounding = jitter * np.where(
            np.arange(precisions), _HARSHER ** (np.arange(precisions) - 1.0), 0
        )
        pruning = _HARSHER**2 * (2 * amount) ** 2
        loss = sensitivity[0] * rounding[precision] + sensitivity[1] * pruning
        return _Layer(precision, amount, loss, precision >= _HARSH)


def _far(layers: int, worth: Floats, rng: np.random.Generator) -> tuple[Far, ...]:
    """One in ten layers or so begins a pair; no two pairs overlap."""
    found, first = [], 0
    while (first := first + int(rng.integers(1, 8))) < layers:
        last = first + int(rng.integers(2, 7))
        if last < layers:
            strength = rng.uniform(0.5, 2)
            found.append(Far(first, last, float(strength * np.sqrt(worth[first] * worth[last]))))
        first = last
    return tuple(found)
