"""What another model would have read and answered: token ratios, answer lengths, rework."""
