"""Editors' reviews: what a blind reading of both models' answers to the same request scores, by kind of work.

The smaller model is as good at condensing, extracting, ranking and correcting; it is clearly worse where a text has to
be written, judged or reasoned through.
"""

from __future__ import annotations

from numpy.random import Generator

LARGE, SMALL = "gpt-4-turbo", "gpt-3.5-turbo"
SHARE = 0.04  # of the calls that are reviewed
SPREAD = {LARGE: 0.05, SMALL: 0.07}

# task -> mean score of (large, small)
MEANS = {
    "source_ranking": (0.93, 0.925),
    "web_summary": (0.94, 0.935),
    "fact_extraction": (0.93, 0.92),
    "trend_digest": (0.93, 0.925),
    "outline": (0.92, 0.90),
    "seo_brief": (0.92, 0.915),
    "section_draft": (0.91, 0.52),
    "complex_reasoning_analysis": (0.91, 0.41),
    "critique": (0.92, 0.49),
    "rewrite": (0.92, 0.51),
    "grammar_check": (0.96, 0.95),
    "citation_check": (0.93, 0.92),
}


def review(rng: Generator, task: str) -> dict[str, float]:
    """Scores of both models between 0 and 1; a hard request is hard for both."""
    hardness = float(rng.normal(0.0, 0.03))
    scores = {}
    for model, mean in zip((LARGE, SMALL), MEANS[task], strict=True):
        score = mean - hardness + float(rng.normal(0.0, SPREAD[model]))
        scores[model] = round(min(1.0, max(0.0, score)), 2)
    return scores
