"""The provider's own prompt cache: dated rules, simulation, calibration, advice."""
