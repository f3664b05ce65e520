"""The region that an endpoint's address names, for prices that differ by it (providers' documentation, 2026-10)."""

from __future__ import annotations

import re
from typing import Any

_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # Vertex AI: the location in the path, else the host; multi-regions have hosts of their own
        r"googleapis\.com/.*/locations/([a-z0-9-]+)",
        r"//([a-z]+-[a-z0-9]+)-aiplatform\.googleapis\.com",
        r"//aiplatform\.([a-z]+)\.rep\.googleapis\.com",
        r"//bedrock[a-z-]*\.([a-z]{2}(?:-[a-z]+)+-\d)\.",  # Amazon Bedrock
        r"//([a-z0-9]+)\.api\.cognitive\.microsoft\.com",  # Azure
        r"//(us|eu)\.api\.openai\.com",  # OpenAI's data residency
    )
)


def region_of_address(address: Any) -> str | None:
    """The region in a URL such as `https://us-east5-aiplatform.googleapis.com/...`; None where it names none."""
    if not isinstance(address, str) or "//" not in address[:8]:
        return None
    shown = address[:400].lower()
    for pattern in _PATTERNS:
        found = pattern.search(shown)
        if found:
            return found[1]
    return None
