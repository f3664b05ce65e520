"""The traffic as a cache in front of the provider sees it: who asks for what, when, and what a hit would be worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.price_book.vocabulary import UNPRICED
from ingest.errors import StrategyError
from replay.response_cache.simulate import Requests
from replay.traffic.traffic import KEY_POLICIES, Traffic

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Temperature = Literal["always", "zero", "pool"]


@dataclass(frozen=True)
class Demand:
    """n calls in time order as a cache sees them. `worth` is what a hit saves, pico-dollars: the call's own cost.

    Unpriced calls are worth 0 and counted. `warm` calls come before the reported window and only warm the caches.
    """

    requests: Requests
    worth: Int64
    window: Bool
    output: Int32  # content number of the logged answer, -1 where the log has none
    days: int  # from the first to the last of the window with calls

    def __len__(self) -> int:
        return len(self.worth)

    @property
    def asked(self) -> Bool:
        """Calls of the window that look into a cache."""
        return self.window & self.requests.lookup & (self.requests.key >= 0)


def demand(
    traffic: Traffic,
    *,
    key: str = "canonical",
    temperature: Temperature = "always",
    pool: int = 4,
    tenant: str | None = None,
) -> Demand:
    """Look-ups of `traffic` under a key policy (replay.traffic.traffic.KEY_POLICIES); the key holds the model and
    `tenant`.

    `temperature` says what to do with calls hotter than 0: 'always' serve one answer again, 'zero' never cache them, or
    keep a 'pool' of so many answers per key and hand them out in turn. `tenant` is 'user_id' or 'team'.
    Raises StrategyError on weighted rows: a row that stands for many calls has no single time.
    """
    weight = traffic.usage.weight_micro
    weighted = 0 if weight is None else int((weight != 1_000_000).sum())
    if weighted:
        raise StrategyError(
            f"{weighted:,} rows of this log are sampled or aggregated (weight is not 1), so no cache can be simulated",
            remedy="Ingest the calls one by one.",
        )
    columns = [KEY_POLICIES[key], "temperature", "output_id", *([tenant] if tenant else [])]
    frame = traffic.rule_frame(columns)
    body = frame[KEY_POLICIES[key]].fill_null(-1).to_numpy().astype(np.int64)
    whole = body * len(traffic.models) + traffic.model
    if tenant:
        owner = frame[tenant].fill_null("").rank("dense").to_numpy().astype(np.int64)
        whole = whole * (int(owner.max(initial=0)) + 1) + owner
    whole[body < 0] = -1
    hot = (frame["temperature"].fill_null(1.0) > 0).to_numpy()  # a provider's default is 1
    if temperature == "zero":
        whole[hot] = -1
    elif temperature == "pool":
        whole = np.where(whole < 0, -1, whole * pool + np.where(hot, _turns(whole) % pool, 0))
    cost = traffic.cost
    requests = Requests(
        key=_dense(whole),
        start_ms=traffic.start_ms,
        end_ms=traffic.end_ms,
        storable=traffic.storable,
        lookup=traffic.demand,
        process=np.maximum(traffic.process, 0).astype(np.int32),
        size_bytes=traffic.size_bytes,
    )
    return Demand(
        requests=requests,
        worth=np.where(cost == UNPRICED, 0, cost),
        window=traffic.window,
        output=frame["output_id"].fill_null(-1).to_numpy().astype(np.int32),
        days=traffic.calendar_days,
    )


def _dense(values: Int64) -> Int32:
    from replay.kernels.common.dense_ids import factorise

    return factorise(values, skip=-1)[0]


def _turns(values: Int64) -> Int64:
    """How often each value came before, in order."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    fresh = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(values) else np.zeros(0, np.bool_)
    first = np.maximum.accumulate(np.where(fresh, np.arange(len(values)), 0))
    turns = np.empty(len(values), np.int64)
    turns[order] = np.arange(len(values)) - first
    return turns
