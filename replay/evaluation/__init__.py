"""Strategies held against days they were not chosen on: backtest, verification, resampling."""
