"""Ask for answers in a fixed, terse shape. How much shorter they get is measured where the log holds answers of both
kinds (`replay.stages.answer_shapes`); elsewhere it is the user's assumption, and said to be one."""

from __future__ import annotations

from replay.compressors import Compressor


def apply(answer: float, ratio: float = 0.7) -> float:
    """Output tokens after the hint over those logged."""
    return answer * ratio


COMPRESSOR = Compressor(
    apply,
    "answer",
    lossless=False,
    prefix_stable=True,
    parameters={"ratio": 0.7},
    about={"ratio": "output tokens after it over those logged, where the log does not hold answers of both kinds"},
    main_parameter="ratio",
    needs_text=False,
)
