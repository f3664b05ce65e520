"""What the log says of how the model of each call was chosen: by chance, or with which probability."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from replay.traffic.traffic import Bool, Traffic

Floats = NDArray[np.float64]


def chosen_by(traffic: Traffic) -> tuple[Floats, Bool]:
    """(the probability with which each call got its model, NaN where not logged; whether chance alone chose)."""
    propensity, random = np.full(len(traffic), np.nan), np.zeros(len(traffic), np.bool_)
    with traffic.store.read() as con:
        told = con.execute("SELECT count(propensity), count(assignment) FROM calls").fetchall()[0]
    if told[0]:
        propensity = traffic.rule_frame(["propensity"])["propensity"].cast(float).fill_null(np.nan).to_numpy()
    if told[1]:
        random = (traffic.rule_frame(["assignment"])["assignment"] == "random").fill_null(False).to_numpy()
    return propensity, random
