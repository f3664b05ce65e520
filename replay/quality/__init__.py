"""Whether a strategy's answers are good enough: evidence, scores, intervals, the gate."""
