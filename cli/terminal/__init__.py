"""Options, tables and output that the commands share."""
