"""The rate of each call: model names resolved, overrides applied, tokens times prices."""
