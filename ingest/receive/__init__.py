"""OTLP over HTTP: exports of logs and traces into a journal on disk, which the ordinary readers take into the store."""
