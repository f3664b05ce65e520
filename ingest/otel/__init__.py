"""OpenTelemetry GenAI spans: attributes, trees, messages."""
