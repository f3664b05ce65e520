"""The prompt template of each call as a column for rules: `match: {template: 3f2a91c0}`. See
`analysis.reports.prompt_templates`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analysis.reports.prompt_templates import template_ids

if TYPE_CHECKING:
    from replay.traffic.traffic import Traffic


def template(traffic: Traffic) -> pl.Series:
    """The template id of each call, null where the log keeps no messages; in the order of the traffic."""
    found = template_ids(traffic.store.whole)
    names = [name for name, numbers in found for _ in numbers]
    calls = np.array([number for _, numbers in found for number in numbers], np.int64)
    order = np.argsort(calls, kind="stable")
    place = np.minimum(np.searchsorted(calls[order], traffic.call_no), max(len(calls) - 1, 0))
    if not len(calls):
        return pl.Series("template", [None] * len(traffic), pl.String)
    known = calls[order][place] == traffic.call_no
    column = pl.Series("template", names, pl.String).gather(order[place])
    return pl.select(pl.when(pl.Series(known)).then(column)).to_series().alias("template")
