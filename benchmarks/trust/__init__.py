"""What the verdicts are worth: coverage, bias and false claims, measured on real and generated worlds."""
