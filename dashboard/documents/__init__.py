"""The report and the tables of evidence behind pages and report."""
