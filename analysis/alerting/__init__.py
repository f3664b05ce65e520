"""Telling people: alerts and failed gates become notices, each once, and reach the channels that were configured."""
