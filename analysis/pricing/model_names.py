"""From the model name in a log to the price row's model: once per distinct name, with the rule that found it.

A name that only a loose rule matches is priced with low confidence and listed; a name that no rule matches has no
price, never zero.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any, Final

import duckdb

from analysis.price_book import local_cache
from analysis.price_book.book import book_version, stored_version
from analysis.price_book.price_lists import imported_names
from analysis.price_book.provider_names import PROVIDERS
from analysis.price_book.rows import Key
from analysis.pricing.clause_index import ClauseIndex
from ingest.store.database import has_tables

Name = tuple[str | None, str | None]  # (provider_name, model) as logged

# Own machines: the same weights may have a price elsewhere, but not here. Only the user can set one.
SELF_HOSTED: Final = frozenset({
    "vllm", "hosted_vllm", "ollama", "ollama_chat", "llama_cpp", "llamacpp", "llama.cpp", "lm_studio", "lmstudio",
    "sglang", "tgi", "text-generation-inference", "local", "localai", "self_hosted", "self-hosted", "xinference",
    "triton", "nvidia_triton", "petals", "llamafile", "docker_model_runner",
})  # fmt: skip
_REGION = re.compile(r"^(us|eu|apac|ap|jp|au|ca|sa|mx|me|af|in|us-gov|global)\.(?=[a-z0-9-]+\.)")
_REGION_SEGMENT = re.compile(
    r"^(us|eu|global|global-standard|us-(?:gov-)?(?:east|west)-\d|(?:eu|ap|ca|sa|me|af|il|mx)-[a-z]+-\d)$"
)
_BEDROCK = re.compile(
    r"^([a-z-]+\.)?(anthropic|amazon|meta|mistral|cohere|ai21|deepseek|qwen|openai|writer|stability)\.(?=\w)"
)
_COMPACT_DATE = re.compile(r"-(20\d\d)(\d\d)(\d\d)(?=-|:|$)")
_VERTEX_RESOURCE = re.compile(r"^(?:projects/[^/]+/locations/[^/]+/)?publishers/[^/]+/models/([^/]+)$")
_VERTEX_DATE = re.compile(r"@(\d{8}|latest|default|\d{3})$")
_THINKERS: Final = r"^((?:gpt|o\d|claude|gemini|grok|codex).*)"
_FAST: Final = re.compile(r"^(?:gpt|o\d|claude).*-fast$", re.IGNORECASE)
# Ways to write a model that are no part of its name, each tried alone and after the ones before it.
_REWRITINGS: Final = (
    ("context window mark", re.compile(r"\[\d+[km]\]$"), ""),  # Claude Code, 2025-09: claude-sonnet-4-5[1m]
    ("version mark", re.compile(r"@(?:default|latest)$"), ""),  # Vertex AI
    ("version mark", re.compile(r"@(\d{8})$"), r"-\1"),
    # Cursor, model list of 2026: how hard a model thinks is no price of its own
    ("effort suffix", re.compile(rf"{_THINKERS}-(?:none|minimal|low|medium|high|xhigh|max)(?:-thinking)?$"), r"\1"),
    ("thinking suffix", re.compile(rf"{_THINKERS}-thinking$"), r"\1"),
    ("family first", re.compile(r"^claude-(\d+(?:[.-]\d+)?)-(opus|sonnet|haiku)"), r"claude-\2-\1"),
    ("dotted version", re.compile(r"^(claude-[a-z]+-\d+)\.(\d+)"), r"\1-\2"),
)
# Families that several hosts sell at other prices: who is meant where the log names nobody who sells them.
_INTERFACES: Final = frozenset({"openai", "anthropic", "google", "azure", "aws"})  # names of SDKs too, for any host
_OPEN_WEIGHTS: Final = re.compile(
    r"gpt-oss|llama|mixtral|mistral-(?:7b|nemo|small)|qwen|glm-|deepseek|kimi|minimax|gemma|phi-\d|nemotron|devstral|falcon"
)
_FAMILY_HOSTS: Final = {"glm": "zai", "qwen": "dashscope", "composer": "cursor"}
_CLAUSE_RULES: Final = {"equals": "exact id", "starts_with": "prefix clause", "regex": "pattern clause",
                        "ends_with": "suffix clause", "contains": "contains clause"}  # fmt: skip


@dataclass(frozen=True)
class Resolution:
    """Where a logged name is priced. `key` is None where nothing matched."""

    key: Key | None
    rule: str  # the steps that led there, joined by ` > `
    confidence: str  # high, low, none


UNRESOLVED: Final = Resolution(None, "no rule matched", "none")


@cache
def resolve(provider: str | None, model: str | None) -> Resolution:
    """The price key of one logged (provider, model), memoised."""
    if not model or not model.strip():
        return Resolution(None, "the log names no model", "none")
    name = model.strip()
    steps: list[str] = []
    given = (provider or "").strip().lower()
    if given in SELF_HOSTED:
        return Resolution(None, f"self-hosted ({given}): no list price", "none")
    found = _provider(given)
    # provider prefixes as gateways write them: azure/eu/gpt-4o, openai:gpt-4o, openrouter/openai/gpt-4o
    while True:
        head, mark, rest = _split(name)
        if not mark:
            break
        if head in SELF_HOSTED:
            return Resolution(None, f"self-hosted ({head}): no list price", "none")
        prefix = _provider(head)
        if prefix is None or not rest or _known(found or prefix, name):
            break
        found, name = prefix, rest
        steps.append(f"prefix {head}{mark}")
    while "/" in name and _REGION_SEGMENT.match(name.split("/", 1)[0].lower()):
        steps.append(f"region {name.split('/', 1)[0]}")
        name = name.split("/", 1)[1]
    regional = bool(steps) and steps[-1].startswith("region")
    if found in (None, "anthropic") and _BEDROCK.match(name):
        found = "aws"
        steps.append("Bedrock id")
    if found == "aws" and (match := _REGION.match(name)):
        steps.append(f"inference profile {match.group(1)}")
        if _lookup("aws", name, []) is None:
            name = name[match.end() :]
    if name.lower().startswith("models/") and found in ("google", None):
        name = name[7:]
        steps.append("prefix models/")
    if resource := _VERTEX_RESOURCE.match(name):
        return resolve_again("google", resource[1], [*steps, "resource name"])
    if name.startswith("arn:"):
        name = name.rsplit("/", 1)[-1]
        steps.append("resource name")
        return resolve_again("aws" if found in (None, "anthropic") else found, name, steps)
    hit = _find(found, given, name, steps)
    rewritten = name
    for step, pattern, new in _REWRITINGS:
        if hit is not None:
            break
        changed = pattern.sub(new, rewritten.lower())
        if changed != rewritten.lower():
            rewritten = changed
            steps = [*steps, step]
            hit = _find(found, given, rewritten, steps)
    if _FAST.match(name) and (hit is None or not hit.rule.endswith("exact id")):
        base = resolve(provider, name[: -len("-fast")])
        if base.key is not None:  # the book holds the prices of the tier under this name too
            return Resolution((base.key[0], f"{base.key[1]}-fast"), f"{base.rule} > fast suffix", base.confidence)
    if hit is None:
        return UNRESOLVED
    if steps[:1] == ["Bedrock id"] or found == "aws":
        hit = _in_government_cloud(hit, steps)
    if hit.confidence == "high" and _is_hosts_own(given, hit.key, name):
        return Resolution(hit.key, f"{hit.rule} > not the price of {given}", "low")
    return Resolution(hit.key, hit.rule, "low") if regional else hit


def _is_hosts_own(given: str, key: Key | None, name: str) -> bool:
    """Whether the host as logged asks a price of its own, which the book lacks: the price of `key` is another's.

    A host that the book does not know may hand on the calls of a model that its maker alone sells, at the maker's
    price; a model whose weights are open it runs itself.
    """
    host = _provider(given)
    if not given or key is None or host == key[0] or host in _INTERFACES:
        return False
    return host is not None or _OPEN_WEIGHTS.search(name.lower()) is not None


def _in_government_cloud(hit: Resolution, steps: list[str]) -> Resolution:
    """The price model of AWS's government regions, for a profile or a region of theirs."""
    from analysis.price_book.history import load_history
    from analysis.price_book.rows import HISTORY

    if hit.key is None or not any(step.startswith(("inference profile us-gov", "region us-gov")) for step in steps):
        return hit
    for rule in load_history(HISTORY).derived_models:
        if hit.key[0] == rule.provider and hit.key[1].startswith(rule.beside):
            return Resolution((hit.key[0], f"{rule.named}{hit.key[1].removeprefix(rule.beside)}"), hit.rule, "low")
    return hit


def region_in_name(model: str | None) -> str | None:
    """The data zone that a gateway writes into a name (`azure/eu/gpt-4o`); None where there is none."""
    parts = (model or "").lower().split("/")
    return next((part for part in parts[:-1] if part in ("us", "eu")), None)


def _find(found: str | None, given: str, name: str, steps: list[str]) -> Resolution | None:
    """The model by its provider `found`, else by its family; `given` is the provider as logged."""
    hit = _lookup(found, name, steps)
    if hit is None and found == "google" and (cut := _VERTEX_DATE.sub(r"-\1", name)) != name:
        hit = _lookup(found, cut, [*steps, "vertex version"])
    if hit is None and found is None:
        hit = _by_family(name, steps)
    if hit is None and found is not None and given and not name.startswith("ft:"):
        hit = _by_family(name, [*steps, f"not sold by {found}"])
        if hit is not None:
            hit = Resolution(hit.key, hit.rule, "low")
    return hit


def resolve_again(provider: str, name: str, steps: list[str]) -> Resolution:
    """The resolution of a rewritten name; its rule names the rewriting `steps` first."""
    again = resolve(provider, name)
    return Resolution(again.key, " > ".join([*steps, again.rule]), again.confidence)


def _split(name: str) -> tuple[str, str, str]:
    """(head, separator, rest) at the first `/` or `:`, or empty strings. `ft:` and version marks are no prefix."""
    match = re.match(r"^([A-Za-z][\w.-]*)([/:])(.+)$", name)
    if not match or match.group(1).lower() == "ft":
        return "", "", ""
    return match.group(1).lower(), match.group(2), match.group(3)


def catalogue_provider(logged: str | None) -> str | None:
    """The catalogue's provider for a logged one, or None."""
    return _provider((logged or "").strip().lower())


def _provider(name: str) -> str | None:
    """The catalogue's provider for a name in a log, or None."""
    if not name:
        return None
    name = PROVIDERS.get(name, name)
    return name if name in _providers() or name in _own_providers() else PROVIDERS.get(name.replace("-", "_"))


@cache
def _providers() -> dict[str, Any]:
    from genai_prices.data import providers

    return {provider.id: provider for provider in providers}


@cache
def _clauses(provider: str) -> ClauseIndex:
    return ClauseIndex(model.match for model in _providers()[provider].models)


def _models_like(provider: str, text: str) -> Sequence[Any]:
    """The models of a provider of the catalogue, in its order; none where no clause can match the text."""
    listed = _providers().get(provider)
    return listed.models if listed is not None and _clauses(provider).may_match(text) else ()


@cache
def _own_providers() -> frozenset[str]:
    """Providers that only the overlay has."""
    from analysis.price_book.history import load_history
    from analysis.price_book.rows import HISTORY

    return frozenset(model.provider for model in load_history(HISTORY).models) - _providers().keys()


def _known(provider: str | None, name: str) -> bool:
    """Whether the provider lists exactly this name, prefix and all."""
    hit = _lookup(provider, name, [])
    return hit is not None and hit.rule.endswith("exact id")


def _lookup(provider: str | None, name: str, steps: list[str]) -> Resolution | None:
    """The model among the provider's own, then among those it resells."""
    if provider is None:
        return None
    from analysis.price_book.history import (
        history_key,  # a schema library, which names that were met before do not need
    )

    lower = name.lower()
    listed = _providers().get(provider)
    for sold_by in (provider, *((listed.fallback_model_providers or ()) if listed else ())):
        resold = [] if sold_by == provider else [f"sold by {provider} at {sold_by}'s price"]
        own = history_key(sold_by, lower)
        if own:
            key, exact = own
            rule = [*steps, *resold, "exact id" if exact else "prefix clause"]
            return Resolution(key, " > ".join(rule), "low" if resold else "high")
        for text, extra in ((lower, []), (_dashed(lower), ["compact date"])):
            if extra and text == lower:
                continue
            for model in _models_like(sold_by, text):
                clause = _match(model.match, text)
                if clause is None:
                    continue
                certain = clause in ("equals", "starts_with", "regex") and not resold
                rule = [*steps, *resold, *extra, _CLAUSE_RULES[clause]]
                return Resolution((sold_by, model.id), " > ".join(rule), "high" if certain else "low")
    return None


def _by_family(name: str, steps: list[str]) -> Resolution | None:
    """Without a usable provider: whoever makes models of that name."""
    lower = name.lower()
    base = "openai" if lower.startswith("ft:") else None
    host = next((host for family, host in _FAMILY_HOSTS.items() if lower.startswith(family)), None)
    if host is not None:
        hit = _lookup(host, name, [*steps, f"family of {host}"])
        if hit is not None:
            return hit
    for provider in _providers().values():
        if provider.id == base or (
            base is None and provider.model_match is not None and provider.model_match.is_match(lower)
        ):
            hit = _lookup(provider.id, name, [*steps, f"family of {provider.id}"])
            if hit is not None:
                return hit
    for provider_id in ("openai", "aws", "cohere", "voyageai"):
        hit = _lookup(provider_id, name, [*steps, f"id of {provider_id}"])
        if hit is not None and "exact id" in hit.rule:
            return hit
    return None


def _dashed(name: str) -> str:
    """`gpt-5.2-20251211` as `gpt-5.2-2025-12-11`, the form that price data use; other names as they are."""
    found = _COMPACT_DATE.search(name)
    if found is None:
        return name
    try:
        day = date(*map(int, found.groups()))
    except ValueError:
        return name
    return f"{name[: found.start()]}-{day.isoformat()}{name[found.end() :]}"


def _match(clause: Any, text: str) -> str | None:
    """The kind of the atomic clause that matched, or None. Of an `or`, the strictest that matches."""
    for kind in ("equals", "starts_with", "ends_with", "regex", "contains"):
        if hasattr(clause, kind):
            if kind != "regex" and getattr(clause, kind).lower() == text.lower():
                return "equals"
            return kind if clause.is_match(text) else None
    if hasattr(clause, "or_"):
        found = {_match(part, text) for part in clause.or_} - {None}
        return next((kind for kind in _CLAUSE_RULES if kind in found), None)
    if hasattr(clause, "and_"):
        parts = [_match(part, text) for part in clause.and_]
        if any(part is None for part in parts):
            return None
        return next((kind for kind in _CLAUSE_RULES if kind in parts), None)
    return None


# -- in the store ------------------------------------------------------------------------------------------------------

CREATE_MODEL_MAP = """
    CREATE TABLE IF NOT EXISTS model_map (
        provider_raw VARCHAR, model_raw VARCHAR, price_provider VARCHAR, price_model VARCHAR,
        match_rule VARCHAR, confidence VARCHAR)
"""


def load_aliases(con: duckdb.DuckDBPyConnection) -> Mapping[str, tuple[str | None, str]]:
    """The user's own names: logged model -> (provider or None, model) to price it as."""
    if not has_tables(con, "model_aliases"):
        return {}
    rows = con.execute("SELECT alias, provider, model FROM model_aliases ORDER BY alias").fetchall()
    return {alias.lower(): (provider, model) for alias, provider, model in rows}


def resolve_with(aliases: Mapping[str, tuple[str | None, str]], provider: str | None, model: str | None) -> Resolution:
    """As `resolve`, after the user's aliases."""
    if model and model.strip().lower() in aliases:
        to_provider, to_model = aliases[model.strip().lower()]
        # the user says what it is priced as, whoever was logged as serving it
        logged = None if "/" in to_model or (provider or "").strip().lower() in SELF_HOSTED else provider
        found = resolve(to_provider or logged, to_model)
        return Resolution(found.key, f"alias to {to_model} > {found.rule}", found.confidence)
    return resolve(provider, model)


def resolve_all(con: duckdb.DuckDBPyConnection, names: Sequence[Name]) -> list[Resolution]:
    """Each logged (provider, model): from `model_map` where the store knows the name, else by the rules, else as an
    imported price list has it."""
    known: dict[Name, Resolution] = {}
    if has_tables(con, "model_map") and stored_version(con) == book_version():
        rows = con.execute(
            """SELECT provider_raw, model_raw, price_provider, price_model, match_rule, confidence FROM model_map
               ORDER BY ALL"""
        ).fetchall()
        for provider, model, to_provider, to_model, rule, confidence in rows:
            key = (to_provider, to_model) if to_model is not None else None
            known[provider, model] = Resolution(key, rule, confidence)
    aliases = load_aliases(con)
    if not aliases and any(name not in known for name in names):
        found = resolve_names(names, known)
    else:
        found = [known[name] if name in known else resolve_with(aliases, *name) for name in names]
    return _with_imported(con, names, found) if any(hit.key is None for hit in found) else found


def _with_imported(
    con: duckdb.DuckDBPyConnection, names: Sequence[Name], found: Sequence[Resolution]
) -> list[Resolution]:
    """What our book does not have, by the price lists that the user imported; own machines have no list price."""
    imported = imported_names(con)
    if imported is None:
        return list(found)
    result = []
    for (provider, model), hit in zip(names, found, strict=True):
        own_machine = hit.rule.startswith("self-hosted")
        key = imported.find(provider, model) if hit.key is None and not own_machine else None
        result.append(hit if key is None else Resolution(key, f"not in the book > {key[0]}", "low"))
    return result


def resolve_names(names: Sequence[Name], known: Mapping[Name, Resolution]) -> list[Resolution]:
    """Each logged (provider, model) by the rules, if it is not `known`: those of earlier runs without the catalogue.

    Only names that the catalogue itself has are kept for later runs: others may say whose they are.
    """
    kept = {(row[0], row[1]): row for row in local_cache.load_names(book_version())}
    before = len(kept)
    found = []
    for name in names:
        hit = known.get(name)
        if hit is None and name in kept:
            provider, model, rule, confidence = kept[name][2:]
            hit = Resolution((provider, model) if model is not None else None, rule, confidence)
        if hit is None:
            hit = resolve(*name)
            if _public(name, hit):
                kept[name] = [*name, *(hit.key or (None, None)), hit.rule, hit.confidence]
        found.append(hit)
    if len(kept) > before:
        local_cache.keep_names(book_version(), list(kept.values()))
    return found


def _public(name: Name, found: Resolution) -> bool:
    """Whether provider and model are the catalogue's own words, but for the model's date."""
    dated = found.key is not None and re.fullmatch(rf"{re.escape(found.key[1])}[-\d]*", str(name[1]).lower())
    return found.rule == "exact id" or (found.rule == "prefix clause" and bool(dated))


def remember(con: duckdb.DuckDBPyConnection, names: Sequence[Name]) -> list[Resolution]:
    """As `resolve_all`, and write names that are new into `model_map`."""
    con.execute(CREATE_MODEL_MAP)
    found = resolve_all(con, names)
    known = set(con.execute("SELECT provider_raw, model_raw FROM model_map").fetchall())
    for name, hit in zip(names, found, strict=True):
        if name not in known:
            key = hit.key or (None, None)
            con.execute("INSERT INTO model_map VALUES (?, ?, ?, ?, ?, ?)", [*name, *key, hit.rule, hit.confidence])
    return found


def forget(con: duckdb.DuckDBPyConnection) -> None:
    """Empty `model_map`, so that names are resolved anew: after a new book or a new alias."""
    con.execute(CREATE_MODEL_MAP)
    con.execute("DELETE FROM model_map")
