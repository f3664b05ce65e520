"""Which days are unlike the days before them, and what the month is heading for."""
