"""Replays by parts of a log, with the results of the whole: which part is read where, and what stays on one node."""
