"""Who called, and for what: the last resorts when no field of the log names an agent or a task."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

from ingest.records import policy_in_force
from ingest.records.call import Call, text_or_none

# metadata and tag keys that name an agent or a task, in order of trust
AGENT_KEYS = ("agent", "agent_name", "component", "service")
TASK_KEYS = ("task", "task_type", "task_name", "phase", "step")
_TOLD = frozenset(AGENT_KEYS) | frozenset(TASK_KEYS) | policy_in_force.KEYS.keys()
_VOLATILE = re.compile(r"\d[\w:.,+/-]*")
_CLUSTERS: dict[tuple[bytes | None, str], str] = {}
_CLUSTER_LIMIT = 5_000


def folder_name(path: str | None) -> str | None:
    """The last part of a path of any system: the name of the project in that folder."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or None if path else None


def from_metadata(call: Call, metadata: Any, source: str = "metadata") -> None:
    """Take agent, task and how the model was chosen from a flat mapping, where not known yet."""
    if not isinstance(metadata, Mapping) or _TOLD.isdisjoint(metadata):
        return
    policy_in_force.from_metadata(call, metadata)
    if call.agent is None:
        for key in AGENT_KEYS:
            found = text_or_none(metadata.get(key))
            if found:
                call.agent, call.agent_source = found, source
                break
    if call.task is None:
        for key in TASK_KEYS:
            found = text_or_none(metadata.get(key))
            if found:
                call.task, call.task_source = found, source
                break


def from_tags(call: Call, tags: Any) -> None:
    """Take agent, task and how the model was chosen from tags written `key:value` or `key=value`."""
    if not isinstance(tags, list) or not tags:
        return
    pairs: dict[str, str] = {}
    for tag in tags:
        if isinstance(tag, str):
            key, mark, value = tag.partition(":") if ":" in tag else tag.partition("=")
            if mark and value:
                pairs.setdefault(key.strip().lower(), value.strip())
    from_metadata(call, pairs, "tag")


def resolve(call: Call, hash_key: bytes | None = None, *, from_texts: bool = True) -> None:
    """The rest of the resolution order: tags, workflow, service, then (`from_texts`) the masked system prompt."""
    if call.tags:
        from_tags(call, call.tags)
    if call.agent_source is not None and call.task_source is not None:
        return
    if call.agent is None:
        if call.workflow_name:
            call.agent, call.agent_source = call.workflow_name, "workflow"
        elif call.span_name:
            call.agent, call.agent_source = call.span_name, "span"
        elif call.service_name:
            call.agent, call.agent_source = call.service_name, "service"
        elif call.api_key_alias:
            call.agent, call.agent_source = call.api_key_alias, "api_key"
        elif from_texts and call.messages:
            name = _system_cluster(call.messages, hash_key)
            if name:
                call.agent, call.agent_source = name, "system_prompt"
    elif call.agent_source is None:
        call.agent_source = "attribute"
    if call.task is None:
        if call.prompt_name:
            call.task, call.task_source = call.prompt_name, "prompt"
        elif call.span_name and call.span_name != call.agent:
            call.task, call.task_source = call.span_name, "span"
    elif call.task_source is None:
        call.task_source = "attribute"


def _system_cluster(messages: list[Any], hash_key: bytes | None) -> str | None:
    """`prompt-<8 hex>` of the first system prompt with numbers, ids and dates masked."""
    for message in messages[:2]:
        if not isinstance(message, dict) or message.get("role") not in ("system", "developer"):
            continue
        content = message.get("content")
        if isinstance(content, list):
            content = "\n".join(str(p.get("text", "")) for p in content if isinstance(p, dict))
        if not isinstance(content, str) or not content:
            return None
        found = _CLUSTERS.get((hash_key, content))
        if found is None:
            masked = _VOLATILE.sub("#", content).encode("utf-8", "surrogatepass")
            digest = hmac.digest(hash_key, masked, "sha256") if hash_key else hashlib.sha256(masked).digest()
            found = "prompt-" + digest.hex()[:8]
            if len(_CLUSTERS) >= _CLUSTER_LIMIT:
                _CLUSTERS.clear()
            _CLUSTERS[hash_key, content] = found
        return found
    return None
