"""A strategy inside a LiteLLM proxy: a callback that chooses the model of each call before the proxy routes it.

    # hindcast_hook.py, beside LiteLLM's config
    from replay.live.litellm_hook import hook
    handler = hook("routed.yaml", log="calls.jsonl")

    # config.yaml
    litellm_settings: {callbacks: hindcast_hook.handler}

Rules, holdback and propensities are those of `hindcast.apply`; targets are the proxy's model groups. Caching stays with
the proxy. Read from litellm 1.108 (`litellm/integrations/custom_logger.py`, `litellm/proxy/utils.py`), 2026-11.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlsplit

from ingest.capture.http_call import is_call
from ingest.capture.log_file import Log
from ingest.errors import StrategyError
from replay.live.apply import Applied
from replay.live.http_messages import from_a_caller, names_in_headers
from replay.live.live_request import read

PROVIDER: Final = "litellm"  # no provider of the price book: targets are sent as the file names them
_NOT_HERE: Final = ("prompts", "compress", "classifier", "on_error", "batch")  # they change or add calls
_THEIRS: Final = frozenset({"metadata", "litellm_metadata"})  # the proxy adds objects of its own to the caller's
_logger = logging.getLogger("hindcast.litellm")


def hook(strategy: str | Path, *, log: str | Path | None = None) -> Any:
    """A callback for LiteLLM's proxy. With a `log` it appends LiteLLM's own record of each call, which `ingest` reads.

    Raises StrategyError for a file with parts that cannot be carried out live, ImportError without litellm.
    """
    from litellm.integrations.custom_logger import CustomLogger

    decisions = Decisions(strategy)
    written = None if log is None else Log(log)

    class Hook(CustomLogger):  # type: ignore[misc]
        """Decides before the call, writes after it. `decisions.applied.counts` says what became of the calls."""

        def __init__(self) -> None:
            super().__init__()
            self.decisions = decisions

        async def async_pre_call_hook(self, user_api_key_dict: Any, cache: Any, data: Any, call_type: Any) -> Any:
            del user_api_key_dict, cache, call_type
            decisions.decide(data, _groups())
            return data

        async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            del response_obj, start_time, end_time
            _write(written, kwargs)

        async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            del response_obj, start_time, end_time
            _write(written, kwargs)

    return Hook()


class Decisions:
    """Decides about the requests of a proxy; nothing is raised into it."""

    def __init__(self, strategy: str | Path) -> None:
        """Raises StrategyError."""
        self.applied = Applied(strategy, log="", redis=SimpleNamespace(), prefix="", text=False)  # no tier is asked
        loaded = self.applied.strategy
        other = [part for part in _NOT_HERE if getattr(loaded, part)]
        other += [f"route[{number}].cascade" for number, rule in enumerate(loaded.route) if rule.cascade]
        if other:
            raise StrategyError(
                f"'{loaded.name}' cannot be carried out inside LiteLLM: {', '.join(other)}",
                remedy="Put hindcast serve before it, or leave these parts out.",
            )
        if loaded.cache is not None:
            _logger.warning("%s: its cache is LiteLLM's to keep (litellm_settings: cache)", strategy)

    def decide(self, data: dict[str, Any], groups: frozenset[str] | None) -> None:
        """Put the model that the strategy chooses into a request of LiteLLM, and what was decided into its metadata.

        `groups` are the models that the proxy has; None where it has no list.
        """
        try:
            self._decide(data, groups)
        except Exception as error:
            self.applied.count(f"fell open: {type(error).__name__}")

    def _decide(self, data: dict[str, Any], groups: frozenset[str] | None) -> None:
        asked = data.get("proxy_server_request") or {}
        body = asked.get("body")
        path = urlsplit(str(asked.get("url") or "")).path
        if not isinstance(body, dict) or not isinstance(data.get("model"), str) or not is_call("POST", path):
            return
        force = self.applied.force()
        names = _names(data, asked.get("headers") or {})
        plain = {key: value for key, value in body.items() if key not in _THEIRS}
        seen = read({**plain, "model": data["model"]}, path, PROVIDER, names)
        decision = force.decider.decide(seen, force.decider.arm(seen))
        model, stays = decision.model, decision.stays
        if model != seen.model and groups is not None and model not in groups:
            model, stays = seen.model, "the proxy has no such model"
        if stays:
            self.applied.count(f"stays: {stays}")
        self.applied.count("moved" if model != seen.model else "as asked")
        data["model"] = model
        told: dict[str, Any] = {"hindcast_rollout": force.strategy.name}
        if decision.arm:
            chance = 1.0 if stays else decision.propensity
            told |= {"hindcast_arm": decision.arm, "hindcast_propensity": chance, "hindcast_assignment": "random"}
        place = "litellm_metadata" if "litellm_metadata" in data else "metadata"
        metadata = data.get(place)
        metadata = metadata if isinstance(metadata, dict) else {}
        given = metadata.get("spend_logs_metadata")
        own = given.items() if isinstance(given, dict) else ()
        metadata["spend_logs_metadata"] = {k: v for k, v in own if not str(k).startswith("hindcast_")} | told
        data[place] = metadata


def _names(data: Mapping[str, Any], headers: Mapping[str, Any]) -> dict[str, Any]:
    """Agent, task, conversation, ... from the caller's metadata and from `x-hindcast-` headers, which go first."""
    metadata = data.get("metadata") if isinstance(data.get("metadata"), dict) else data.get("litellm_metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    own = metadata.get("requester_metadata")
    found = {**metadata, **(own if isinstance(own, dict) else {})}
    session = data.get("litellm_session_id") or found.get("session_id")
    names = {"conversation_id": session, "user_id": data.get("user")}
    names |= from_a_caller(found) | names_in_headers(headers)
    return {
        name: value
        for name, value in names.items()
        if isinstance(value, str) or (name == "tags" and isinstance(value, list))
    }


def _groups() -> frozenset[str] | None:
    """The model groups of the proxy that runs in this process."""
    server = sys.modules.get("litellm.proxy.proxy_server")
    router = getattr(server, "llm_router", None)
    return None if router is None else frozenset(router.get_model_names())


def _write(log: Log | None, kwargs: Any) -> None:
    record = kwargs.get("standard_logging_object") if isinstance(kwargs, dict) else None
    if log is not None and record is not None:
        log.put(lambda: dict(record))
