"""From bytes on disk to records: compression, lines, rows and documents."""
