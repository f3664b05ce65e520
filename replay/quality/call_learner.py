"""Learns from texts and columns how the log chose its models, and what a model scores: for `replay.quality.selection`.

Features are what was known before a call was sent: the words and marks of its last user message, how long it is, when
it came and who sent it. Needs the `ml` extra. Chosen on ZeroEval (`benchmarks.trust`): a logistic regression on the
hashed TF-IDF and one on its first 64 singular vectors, averaged, then made monotone in what was observed (isotonic).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from replay.quality.selection import Learner
from replay.traffic.traffic import Traffic

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

FOLDS: Final = 5
DIMENSIONS: Final = 64
WIDTH: Final = 2**14  # of the hashed words
_FIT: Final = {"max_iter": 100, "tol": 1e-3}
CLIP: Final = 0.02  # of learned propensities, at either end
LENGTH_BINS: Final = 8
_WORDS: Final = r"\w+|[^\w\s]"  # marks tell code and formulas from prose
_NUMBERS: Final = ("input_words", "tool_count", "hour", "weekday", "turn")
_NAMES: Final = ("agent", "user_id", "team", "environment", "prompt_name", "operation_name", "has_images")
_MOST_NAMES: Final = 20  # of one column that are told apart
_MOST_TEXTLESS: Final = 0.05


class CallLearner:
    """Cross-fitted models over the same calls: `dense` and `sparse` features, `fold` of each."""

    def __init__(self, dense: Floats, sparse: Any, fold: Int64) -> None:
        self.dense, self.sparse, self.fold = dense, sparse, fold

    def outcome(self, known: Bools, score: Floats) -> Floats:
        """The expected score of every call, fitted on the `known` ones of other folds; in 0..1."""
        from sklearn.linear_model import LogisticRegression, Ridge

        binary = bool(np.isin(score[known], (0.0, 1.0)).all())
        result = np.empty(len(score))
        for fold in range(FOLDS):
            fit, use = known & (self.fold != fold), self.fold == fold
            if not use.any():  # fewer texts than folds
                continue
            values = score[fit]
            if not len(values) or values.min() == values.max():
                result[use] = values.mean() if len(values) else score[known].mean()
            elif binary:
                model = LogisticRegression(C=0.05, **_FIT).fit(self.dense[fit], values > 0.5)
                result[use] = model.predict_proba(self.dense[use])[:, 1]
            else:
                result[use] = np.clip(Ridge(alpha=20.0).fit(self.dense[fit], values).predict(self.dense[use]), 0, 1)
        return result

    def chance(self, chosen: Bools) -> Floats:
        """The probability of being among the `chosen`, fitted on other folds, calibrated and clipped."""
        from sklearn.isotonic import IsotonicRegression
        from sklearn.linear_model import LogisticRegression

        rank = np.zeros(len(chosen))
        for fold in range(FOLDS):
            fit, use = self.fold != fold, self.fold == fold
            if not use.any() or chosen[fit].all() or not chosen[fit].any():
                continue
            for features, strength in ((self.dense, 0.01), (self.sparse, 0.03)):
                model = LogisticRegression(C=strength, **_FIT).fit(features[fit], chosen[fit])
                rank[use] += model.decision_function(features[use]) / 2
        found = IsotonicRegression(out_of_bounds="clip").fit(rank, chosen).predict(rank)
        # where the policy left no doubt the clip would hide it: such calls stay without overlap
        return np.where((found < CLIP / 2) & ~chosen, 0.0, np.clip(found, CLIP, 1 - CLIP))


def learner(traffic: Traffic, calls: Int64) -> Learner | str:
    """A learner over these calls, or why there is none."""
    return of_frame(traffic.rule_frame(["text", *_NUMBERS, *_NAMES])[calls])


def of_frame(frame: pl.DataFrame) -> CallLearner | str:
    """A learner over the calls of a frame with a column `text` and any other columns of rules, or why there is none."""
    try:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
        from sklearn.preprocessing import StandardScaler
    except ImportError:
        return "learning how the models were chosen needs scikit-learn: pip install 'llm-hindcast[ml]'"
    if frame["text"].null_count() > _MOST_TEXTLESS * frame.height:
        return "the log has no texts to learn from how the models were chosen, and no propensities"
    texts = frame["text"].fill_null("").to_list()
    from scipy import sparse

    words = HashingVectorizer(n_features=WIDTH, token_pattern=_WORDS, alternate_sign=False, norm=None)
    tfidf = TfidfTransformer(sublinear_tf=True).fit_transform(words.transform(texts))
    with np.errstate(invalid="ignore", divide="ignore"):  # a ratio of variances, of texts that are all alike
        vectors = TruncatedSVD(min(DIMENSIONS, frame.height - 1), random_state=0).fit_transform(tfidf)
    length = np.log1p([float(len(text)) for text in texts])
    edges = np.quantile(length, np.arange(1, LENGTH_BINS) / LENGTH_BINS)
    bins = np.eye(LENGTH_BINS)[np.searchsorted(edges, length)]
    numbers = np.column_stack([length, *(np.log1p(_number(frame[n])) for n in _NUMBERS if n in frame.columns)])
    marks = np.column_stack([bins, *(_one_hot(frame[n]) for n in _NAMES if n in frame.columns)])
    dense = np.column_stack([StandardScaler().fit_transform(np.column_stack([vectors, numbers])), 2 * marks])
    stacked = sparse.hstack([10 * tfidf, sparse.csr_matrix(2 * marks)]).tocsr()
    # equal texts share a fold: a model must not be tested on what it has read
    _, code = np.unique(texts, return_inverse=True)
    fold = np.random.default_rng(0).permutation(int(code.max()) + 1)[code] % FOLDS
    return CallLearner(dense, stacked, fold.astype(np.int64))


def _number(column: pl.Series) -> Floats:
    values = column.cast(pl.Float64).fill_null(0.0).fill_nan(0.0).to_numpy()
    return np.maximum(values, 0.0)


def _one_hot(column: pl.Series) -> Floats:
    """One column per frequent value; none where all calls have the same."""
    text = column.cast(pl.String).fill_null("")
    common = text.value_counts(sort=True).head(_MOST_NAMES)[text.name].to_list()
    if len(common) < 2:
        return np.zeros((len(column), 0))
    return np.column_stack([(text == value).to_numpy().astype(np.float64) for value in sorted(common)])
