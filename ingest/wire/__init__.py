"""Provider request and response bodies, wherever a log wraps them: one module per provider's dialect.

Each has `matches_request`, `matches_response`, `apply_request` and `apply_response`, which fill a Call.
"""
