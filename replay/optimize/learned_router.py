"""A learned router between a strong and a weak model, always beside what is simpler: chance, length, a table of tasks.

It predicts what the strong model would gain on a call: the task's mean gain, shrunk to the overall one, plus a ridge
regression on the hashed TF-IDF of the prompt for what is left. On public outcomes the task label alone gives nine
tenths of what a text router gives, so the simpler rows of the table are not decoration. Needs the `ml` extra.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.price_book import vocabulary
from ingest.errors import InputError
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.quality.score_units import units_of
from replay.quality.scores import score_rows, stored_scores
from replay.strategy.schema import Strategy
from replay.traffic.load_traffic import load

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

SHRINKAGE = 20.0  # calls by which a task's gain is drawn to the overall one
FEATURES = 2**18
PENALTY = 3.0
RESAMPLES = 200


@dataclass
class Router:
    """A fitted router. `task_gain` is by task code; a task not seen in fitting has the overall gain."""

    overall: float
    task_gain: Floats
    weights: Any  # TF-IDF and ridge of scikit-learn

    def gain(self, texts: Sequence[str], task: Int64) -> Floats:
        """The strong model's expected gain on each call: the more, the sooner it should be asked."""
        known = (task >= 0) & (task < len(self.task_gain))
        base = np.where(known, self.task_gain[np.where(known, task, 0)], self.overall)
        idf, ridge = self.weights
        return np.asarray(base + ridge.predict(idf.transform(_hashed(texts))), np.float64)


def fit(texts: Sequence[str], task: Int64, gain: Floats) -> Router:
    """Fit on scored calls: prompts, task codes and the measured gain strong - weak."""
    _, ridge_class, idf_class = _learn()
    overall, by_task = _task_table(task, gain)
    words = _hashed(texts)
    idf = idf_class(sublinear_tf=True).fit(words)
    ridge = ridge_class(alpha=PENALTY).fit(idf.transform(words), gain - by_task[task])
    return Router(overall, by_task, (idf, ridge))


def _task_table(task: Int64, gain: Floats) -> tuple[float, Floats]:
    overall = float(gain.mean())
    count = np.bincount(task)
    total = np.bincount(task, gain)
    return overall, (total + SHRINKAGE * overall) / (count + SHRINKAGE)


def _hashed(texts: Sequence[str]) -> Any:
    hashing, *_ = _learn()
    return hashing(n_features=FEATURES, ngram_range=(1, 2), alternate_sign=False, norm=None).transform(texts)


def _learn() -> tuple[Any, Any, Any]:
    try:
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
        from sklearn.linear_model import Ridge
    except ImportError as error:
        raise InputError(
            "the learned router needs scikit-learn", remedy="Install it: pip install 'llm-hindcast[ml]'"
        ) from error
    return HashingVectorizer, Ridge, TfidfTransformer


# -- judging routers ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcomes:
    """Both models on the same calls: prompts, task codes, scores, dollars under each model, and units of scores."""

    texts: Sequence[str]
    task: Int64
    strong: Floats
    weak: Floats
    strong_cost: Floats
    weak_cost: Floats
    unit: Int64 | None = None  # what the scores belong to; each call where None

    def __len__(self) -> int:
        return len(self.strong)


@dataclass(frozen=True)
class RouterScore:
    """One router. `apgr` is None where strong is not better; `cost_at` is dollars over all-strong, None unreached.

    `apgr_low` and `apgr_high` are the ends of its 90 % interval, by resampling what scores belong to.
    """

    name: str
    apgr: float | None
    cost_at: float | None
    apgr_low: float | None = None
    apgr_high: float | None = None


def apgr(order: Floats, strong: Floats, weak: Floats) -> float | None:
    """Average share of the quality gap recovered over all shares of strong calls (RouteLLM, Ong et al., 2024).

    `order`: the higher, the sooner a call goes to the strong model. None where strong is not better than weak: the
    measure divides by that gap and would mean nothing.
    """
    gap = float((strong - weak).mean())
    if gap <= 0:
        return None
    ranked = np.argsort(-order, kind="stable")
    recovered = np.concatenate([[0.0], np.cumsum((strong - weak)[ranked])]) / len(order)
    return float((recovered / gap).mean())


def cost_at(order: Floats, outcomes: Outcomes, share: float) -> float | None:
    """Dollars, over all-strong, of the first threshold that reaches `share` of the strong model's quality."""
    ranked = np.argsort(-order, kind="stable")
    quality = outcomes.weak.sum() + np.concatenate([[0.0], np.cumsum((outcomes.strong - outcomes.weak)[ranked])])
    extra = np.concatenate([[0.0], np.cumsum((outcomes.strong_cost - outcomes.weak_cost)[ranked])])
    cost = outcomes.weak_cost.sum() + extra
    good = np.flatnonzero(quality >= share * outcomes.strong.sum() - 1e-9)
    whole = float(outcomes.strong_cost.sum())
    return float(cost[good].min() / whole) if len(good) and whole else None


def least_cost(outcomes: Outcomes, share: float) -> float | None:
    """Dollars, over all-strong, below which no router reaches `share` of the strong model's quality; None unreached.

    Who knows every score buys the most gain per dollar first, the last call in part: the optimum of the relaxed
    knapsack, which bounds every whole choice. Calls on which the strong model is the cheaper one start with it.
    """
    gain, extra = outcomes.strong - outcomes.weak, outcomes.strong_cost - outcomes.weak_cost
    strong = (extra < 0) | ((extra == 0) & (gain > 0))
    need = share * outcomes.strong.sum() - np.where(strong, outcomes.strong, outcomes.weak).sum()
    cost = float(np.where(strong, outcomes.strong_cost, outcomes.weak_cost).sum())
    moved = np.where(strong, -gain, gain), np.where(strong, -extra, extra)
    useful = (moved[0] > 0) & (moved[1] > 0)
    order = np.argsort(-moved[0][useful] / moved[1][useful], kind="stable")
    gains, prices = (np.concatenate([[0.0], np.cumsum(values[useful][order])]) for values in moved)
    whole = float(outcomes.strong_cost.sum())
    if need > gains[-1] + 1e-9 or not whole:
        return None
    return (cost + float(np.interp(max(need, 0.0), gains, prices))) / whole


def compare(outcomes: Outcomes, *, folds: int = 5, share: float = 0.95, seed: int = 0) -> list[RouterScore]:
    """The learned router, cross-validated, between random mix, length, task table and what no router can beat."""
    if len(outcomes) < 10 * folds:
        raise InputError(
            f"{len(outcomes)} calls with scores of both models are too few for {folds} folds",
            remedy="Score more: hindcast shadow",
        )
    rng = np.random.default_rng(seed)
    fold = rng.permutation(len(outcomes)) % folds
    gain = outcomes.strong - outcomes.weak
    learned, table = np.zeros(len(gain)), np.zeros(len(gain))
    for number in range(folds):
        held = fold == number
        known = np.flatnonzero(~held)
        found = fit([outcomes.texts[i] for i in known.tolist()], outcomes.task[known], gain[known])
        places = np.flatnonzero(held)
        learned[places] = found.gain([outcomes.texts[i] for i in places.tolist()], outcomes.task[places])
        seen = outcomes.task[places] < len(found.task_gain)
        table[places] = np.where(seen, found.task_gain[np.where(seen, outcomes.task[places], 0)], found.overall)
    orders = {
        "random mix": rng.random(len(gain)),
        "length": np.array([len(text) for text in outcomes.texts], np.float64),
        "task table": table,
        "learned": learned,
        "oracle": gain,
    }
    rows = []
    for name, order in orders.items():
        cost = least_cost(outcomes, share) if name == "oracle" else cost_at(order, outcomes, share)
        rows.append(
            RouterScore(name, apgr(order, outcomes.strong, outcomes.weak), cost, *_interval(order, outcomes, seed))
        )
    return rows


def _interval(order: Floats, outcomes: Outcomes, seed: int) -> tuple[float | None, float | None]:
    """The 90 % percentile interval of the APGR over resampled units; None where the gap may vanish."""
    unit = np.arange(len(outcomes)) if outcomes.unit is None else outcomes.unit
    _, place = np.unique(unit, return_inverse=True)
    calls = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[calls], np.arange(place.max() + 2))
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, place.max() + 1, place.max() + 1)
        rows = np.concatenate([calls[starts[u] : starts[u + 1]] for u in drawn.tolist()])
        value = apgr(order[rows], outcomes.strong[rows], outcomes.weak[rows])
        if value is None:
            return None, None
        found.append(value)
    low, high = np.quantile(found, (0.05, 0.95))
    return float(low), float(high)


def outcomes_of(store: Store, strong: str, weak: str) -> Outcomes:
    """The calls of a store with scores of both models and a text, priced under either."""
    traffic = load(store)
    sides = []
    for model in (strong, weak):
        engine = Engine(traffic, Strategy.model_validate({"name": model, "route": [{"default": model}]}))
        sides.append(engine.evaluate(engine.everything).cost_pico)
    rows = score_rows(traffic)
    units = units_of(traffic, rows)
    scores = stored_scores(traffic, [*(name for _, name in traffic.models), strong, weak], rows.by_one_judge())
    n = len(traffic)
    values = []
    for model in (strong, weak):
        names = [name for _, name in traffic.models] + [strong, weak]
        values.append(scores.of(np.full(n, names.index(model), np.int32), n))
    frame = traffic.rule_frame(["text"])
    known = ~np.isnan(values[0]) & ~np.isnan(values[1]) & frame["text"].is_not_null().to_numpy()
    known &= (sides[0] != vocabulary.UNPRICED) & (sides[1] != vocabulary.UNPRICED)
    texts = frame["text"].filter(known).to_list()
    strong_cost, weak_cost = (side[known].astype(np.float64) / 1e12 for side in sides)
    task = traffic.task[known].astype(np.int64)
    unit = None if units is None else units.unit[known]
    return Outcomes(texts, task, values[0][known], values[1][known], strong_cost, weak_cost, unit)
