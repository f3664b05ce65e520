"""What a call can be grouped and filtered by: one registry for every command, the strategy rules and the dashboard.

Names are those of LLM and FinOps reports (`provider`, `session`, `team`); the store's columns and the attributes of the
OpenTelemetry GenAI conventions (v1.37, 2025-08) are aliases. A dimension is SQL over a relation `costs`: the columns of
`calls` and `ledger`. What is no column of it comes from a labelled relation, which `analysis.reports.call_labels` makes
when a dimension asks for it:

- `source_path`, `source_format`: of `sources` by `source_id`;
- `template_id`: the id by content that `hindcast templates` gives the call's prompt;
- `tag_HEX`: the value of the call's first tag `KEY:VALUE` or `KEY=VALUE`, HEX being KEY in UTF-8.

Values of filters reach SQL as bound parameters alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from analysis import time_zone
from ingest.errors import InputError, did_you_mean

NONE: Final = "(none)"
"""What "no value" is called: printed, and asked for in a filter. JSON has null."""
TAG: Final = "tag."
LONGEST: Final = 1_000  # characters of a filter's value
_LIKE_NONE: Final = re.compile(r'"*\(none\)"*')

Kind = Literal["text", "id", "number", "flag", "time"]
Use = Literal["group", "filter", "segment", "rule"]
_CANNOT: Final[dict[Use, str]] = {
    "group": "calls cannot be grouped by",
    "filter": "calls cannot be filtered by",
    "segment": "a day cannot be explained by",
    "rule": "a rule cannot see",
}
_AFTERWARDS: Final = "it is known of logged calls, not of a call that is about to be sent"
_REASONS: Final[dict[tuple[Kind, Use], str]] = {
    ("time", "segment"): "a day is compared with other days, and a value of it lies on one side only",
    ("id", "segment"): "an id belongs to one day, so that each would be new or gone",
}
_MEASURE: Final = "it is a measure, which is summed"
_IN_REPLAY: Final = "it is worked out in a replay alone"


@dataclass(frozen=True)
class Dimension:
    """One entry. `sql` gives the value of a row of `costs`, NULL where the log does not tell it.

    `rule` is the column that strategies call it by, `label` the column of the labelled relation that `sql` reads,
    `only_rules` why nothing but a rule can use it.
    """

    name: str
    kind: Kind
    sql: str
    about: str
    aliases: tuple[str, ...] = ()
    rule: str | None = None
    label: str | None = None
    ledger: bool = False  # `sql` reads a column of the ledger
    only_rules: str | None = None
    tag_key: str | None = None

    @property
    def text(self) -> str:
        """SQL of the value as text, as it is printed."""
        if self.kind in ("text", "id") or self.name == "month":
            return self.sql
        return f"strftime({self.sql}, '%Y-%m-%dT%H:%M:%S')" if self.name == "hour" else f"({self.sql})::VARCHAR"

    def refusal(self, use: Use) -> str | None:
        """Why it cannot be used so; None where it can."""
        if use == "rule":
            return None if self.rule else _AFTERWARDS
        return self.only_rules or (None if self.name == "hour_of_day" else _REASONS.get((self.kind, use)))


_D = Dimension
REGISTRY: Final[tuple[Dimension, ...]] = (
    _D("day", "time", "start_time::DATE", "date of the start, in UTC or --tz", ("date",), rule="day"),
    _D("week", "time", "date_trunc('week', start_time)::DATE", "ISO week, named by its Monday"),
    _D("month", "time", "strftime(start_time, '%Y-%m')", "calendar month"),
    _D("hour", "time", "date_trunc('hour', start_time)", "hour of a day, named by its start"),
    _D("hour_of_day", "time", "hour(start_time)", "0 to 23 (`hour` in a rule, which is UTC's)", rule="hour"),
    _D("weekday", "time", "isodow(start_time)", "1 (Monday) to 7", rule="weekday"),
    _D("agent", "text", "agent", "agent", ("agent_name", "gen_ai.agent.name"), rule="agent"),
    _D("task", "text", "task", "task, step or node of the agent", ("task_name",), rule="task"),
    _D("model", "text", "model", "model that is billed: the response's, else the requested one", rule="model"),
    _D("request_model", "text", "request_model", "model asked for", ("gen_ai.request.model",)),
    _D("response_model", "text", "response_model", "model that answered", ("gen_ai.response.model",)),
    _D("provider", "text", "provider_name", "provider", ("provider_name", "gen_ai.provider.name", "gen_ai.system"),
       rule="provider_name"),
    _D("operation", "text", "operation_name", "chat, embeddings, ...", ("operation_name", "gen_ai.operation.name"),
       rule="operation_name"),
    _D("status", "text", "status", "ok, error, cancelled or gateway_cache_hit", rule="status"),
    _D("error", "text", "error_type", "kind of error", ("error_type", "error.type")),
    _D("http_status", "number", "http_status", "HTTP status", ("http.response.status_code",)),
    _D("finish_reason", "text", "finish_reason", "why the answer ended", ("gen_ai.response.finish_reasons",),
       rule="finish_reason"),
    _D("session", "id", "conversation_id", "session or conversation",
       ("conversation_id", "session_id", "session.id", "conversation", "gen_ai.conversation.id"),
       rule="conversation_id"),
    _D("trace", "id", "trace_id", "trace", ("trace_id",)),
    _D("request", "id", "request_id", "logical request, which retries and fan-out share", ("request_id",)),
    _D("span", "id", "span_id", "span", ("span_id",)),
    _D("response", "id", "response_id", "the provider's id of the answer", ("response_id", "gen_ai.response.id")),
    _D("attempt", "number", "attempt", "1 for a first try", rule="attempt"),
    _D("user", "text", "user_id", "user", ("user_id", "user.id", "enduser.id"), rule="user_id"),
    _D("team", "text", "team", "team, tenant or project", ("tenant", "project"), rule="team"),
    _D("environment", "text", "environment", "production, staging, ...", ("env", "deployment.environment.name"),
       rule="environment"),
    _D("region", "text", "region", "region that answered", ("region_id", "cloud.region"), rule="region"),
    _D("service", "text", "service_name", "service that called", ("service_name", "service.name"),
       rule="service_name"),
    _D("workflow", "text", "workflow_name", "workflow", ("workflow_name", "gen_ai.workflow.name"),
       rule="workflow_name"),
    _D("process", "text", "process_id", "process or host that called",
       ("process_id", "host", "host.name", "service.instance.id")),
    _D("prompt", "text", "prompt_name", "the prompt's name in the log", ("prompt_name", "gen_ai.prompt.name"),
       rule="prompt_name"),
    _D("prompt_version", "text", "prompt_version", "the prompt's version in the log", rule="prompt_version"),
    _D("template", "text", "template_id", "prompt by its content, as `hindcast templates` finds it", ("template_id",),
       rule="template", label="template_id"),
    _D("tier", "text", "CASE WHEN is_batch THEN 'batch' ELSE coalesce(lower(service_tier), 'standard') END",
       "service tier that is billed: standard, batch, flex, ..."),
    _D("service_tier", "text", "service_tier", "service tier as logged", rule="service_tier"),
    _D("batch", "flag", "is_batch", "sent through a batch endpoint", ("is_batch",)),
    _D("reasoning_effort", "text", "reasoning_effort", "reasoning effort asked for", ("effort",),
       rule="reasoning_effort"),
    _D("response_format", "text", "response_format", "text, json_object or json_schema", ("gen_ai.output.type",),
       rule="response_format"),
    _D("stream", "flag", "stream", "whether the answer was streamed", rule="stream"),
    _D("temperature", "number", "temperature", "temperature", ("gen_ai.request.temperature",), rule="temperature"),
    _D("max_tokens", "number", "max_tokens", "limit of the answer", ("gen_ai.request.max_tokens",), rule="max_tokens"),
    _D("tool_count", "number", "tool_count", "tools that the request offers", ("tools",), rule="tool_count"),
    _D("tool_call", "flag", "pending_tool_calls", "whether the answer asks for tools", ("pending_tool_calls",)),
    _D("has_images", "flag", "has_images", "whether the request has images", ("images",), rule="has_images"),
    _D("cost_status", "text", "cost_status", "how the call came by its price, or why it has none", ledger=True),
    _D(
        "tokens_source", "text", "tokens_source",
        "reported, summed, sum_of_calls, recovered_from_total, estimated, ambiguous, partial or missing",
    ),
    _D("agent_source", "text", "agent_source", "rule that named the agent"),
    _D("task_source", "text", "task_source", "rule that named the task"),
    _D("content_state", "text", "content_state", "full, truncated, redacted, hashed or absent"),
    _D("time_precision", "text", "time_precision", "ns, us, ms, s or assumed_tz"),
    _D("source", "text", "source_path", "file of the log", ("file",), label="source_path"),
    _D("format", "text", "source_format", "format of that file", label="source_format"),
    _D("input_words", "number", "", "words of all messages", rule="input_words", only_rules=_MEASURE),
    _D("input_tokens", "number", "", "input tokens", rule="input_tokens", only_rules=_MEASURE),
    _D("output_tokens", "number", "", "output tokens of the logged answer", rule="output_tokens", only_rules=_MEASURE),
    _D("turn", "number", "", "number of the call in its session", rule="turn", only_rules=_IN_REPLAY),
    _D("online", "flag", "", "whether a user waits for the answer", rule="online", only_rules=_IN_REPLAY),
    _D("text", "text", "", "last message of the user", rule="text", only_rules="nearly every call has its own"),
    _D("tags", "text", "", "tags", rule="tags", only_rules="a call has several: take one key of them, as in tag.team"),
)  # fmt: skip
_NAMED: Final = {name: entry for entry in REGISTRY for name in (*entry.aliases, entry.name)}
"""Every name and alias; where an alias is also a name, the name wins."""
_RULE_COLUMNS: Final = {entry.rule: entry for entry in REGISTRY if entry.rule}


def names(use: Use = "group") -> list[str]:
    """The canonical names that can be used so, and `tag.KEY`."""
    found = [entry.name for entry in REGISTRY if entry.refusal(use) is None]
    return found if use == "rule" else [*found, f"{TAG}KEY"]


def dimension(name: str, use: Use = "group") -> Dimension:
    """The dimension of a name or alias. Raises InputError where there is none, or where it cannot be used so."""
    found = (_RULE_COLUMNS.get(name) if use == "rule" else None) or _NAMED.get(name) or _tag(name)
    if found is None:
        raise InputError(f"no dimension '{name}'", remedy=_known(name, use))
    why = found.refusal(use)
    if why:
        remedy = f"It can: {', '.join(names(use))}." if use != "segment" else f"See: hindcast cost --by {found.name}"
        raise InputError(f"{_CANNOT[use]} '{name}': {why}", remedy=remedy)
    # what is split into segments is on the wall clock already (`ledger.costs_view.on_wall_clock`)
    return _on_wall_clock(found) if use in ("group", "filter") else found


def _on_wall_clock(found: Dimension) -> Dimension:
    """A dimension of time by the wall clock of the days' zone; any other as it is."""
    clock = time_zone.local_sql()
    if clock == "start_time" or not (found.kind == "time" or found.name in ("hour_of_day", "weekday")):
        return found
    return replace(found, sql=found.sql.replace("start_time", clock))


def dimensions(given: Iterable[str], use: Use = "group") -> tuple[Dimension, ...]:
    """As `dimension`, for several, each once."""
    return tuple(dict.fromkeys(dimension(name, use) for name in given))


def _tag(name: str) -> Dimension | None:
    key = name[len(TAG) :] if name.startswith(TAG) else ""
    if not key or len(key) > LONGEST:
        return None
    column = f"tag_{key.encode().hex()}"
    return Dimension(name, "text", column, f"value of the tag {key}", label=column, tag_key=key)


def _known(name: str, use: Use) -> str:
    known = names(use)
    if name.lower() in _FIGURES:
        return f"'{name}' is a figure, not a dimension: every row has it. Group by {', '.join(known[:8])}, ..."
    found = did_you_mean(name, [*known, *(alias for alias in _NAMED if alias not in known)])
    return found if found.startswith("Did") else f"Known: {', '.join(known)}."


_FIGURES: Final = frozenset({"cost", "cost_usd", "usd", "calls", "tokens", "price", "spend", "total"})


# -- values ------------------------------------------------------------------------------------------------------------


def quoted(value: str | None) -> str:
    """A value as a filter asks for it and a table shows it: `(none)`, which as a text of the log stands in quotes."""
    if value is None:
        return NONE
    return f'"{value}"' if _LIKE_NONE.fullmatch(value) else value


def unquoted(text: str) -> str | None:
    """The value that `quoted` writes as this text; None for `(none)`."""
    if text == NONE:
        return None
    marked = _LIKE_NONE.fullmatch(text) and text[0] == text[-1] == '"'
    return text[1:-1] if marked else text


def pattern(value: str | None) -> str:
    """A value as a filter asks for exactly it: `*` and `?` in brackets."""
    return quoted(value) if value is None else re.sub(r"([*?])", r"[\1]", quoted(value))


# -- filters -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Condition:
    """One `DIM=VALUE` or `DIM!=VALUE`. `value` is None for `(none)`; a pattern unless `exact`."""

    dimension: Dimension
    value: str | None
    negated: bool = False
    exact: bool = False

    def __str__(self) -> str:
        return f"{self.dimension.name}{'!=' if self.negated else '='}{quoted(self.value)}"

    def sql(self, bind: Callable[[str], str]) -> str:
        """True or false for every row of `costs`; `bind` makes a parameter of a value and gives its place."""
        held = self._holds(bind)
        return f"NOT coalesce({held}, false)" if self.negated else held

    def _holds(self, bind: Callable[[str], str]) -> str:
        entry = self.dimension
        if self.value is None:
            return f"({entry.sql}) IS NULL"
        value = self.value.replace(" ", "T", 1) if entry.name == "hour" else self.value
        if self.exact:
            return f"{entry.text} = {bind(value)}"
        if _WILD.search(value):
            return f"regexp_full_match({entry.text}, {bind(_expression(value))}, 'is')"
        value = _LITERAL.sub(r"\1", value)
        if entry.kind == "id":  # compared as they are: blocks of the store without the id are skipped
            return f"{entry.sql} = {bind(value)}"
        if entry.kind == "number":
            return f"({entry.sql})::DOUBLE = try_cast({bind(value)} AS DOUBLE)"
        return f"lower({entry.text}) = lower({bind(value)})"


_LITERAL: Final = re.compile(r"\[([*?])\]")
_WILD: Final = re.compile(r"(?<!\[)[*?]|[*?](?!\])")
_PART: Final = re.compile(r"\[[*?]\]|\*+|[\s\S]")


def _expression(glob: str) -> str:
    """An RE2 expression (which matches in linear time): `*` any run of characters, `?` any one, `[*]` the star."""
    parts = {"?": "."}
    return "".join(
        ".*" if part[0] == "*" else parts.get(part) or _escaped(part[1] if len(part) == 3 else part)
        for part in _PART.findall(glob)
    )


def _escaped(char: str) -> str:
    return f"\\{char}" if char in r"\.+*?()|[]{}^$" else char


@dataclass(frozen=True)
class Filter:
    """Conditions on calls: different dimensions all hold, of one dimension any `=` and no `!=`."""

    conditions: tuple[Condition, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.conditions)

    def __str__(self) -> str:
        """As it is typed: `agent=drafting_agent and task!=draft`."""
        return " and ".join(map(str, self.conditions))

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions that are asked about, each once, in the order of the conditions."""
        return tuple(dict.fromkeys(one.dimension for one in self.conditions))

    def sql(self) -> tuple[str, dict[str, str]]:
        """A condition over `costs` (labelled where a dimension asks for it), and its named parameters."""
        values: dict[str, str] = {}

        def bind(value: str) -> str:
            values[f"where_{len(values)}"] = value
            return f"$where_{len(values) - 1}"

        groups: dict[Dimension, list[str]] = {}
        parts: list[str] = []
        for one in self.conditions:
            if one.negated:
                parts.append(one.sql(bind))
            else:
                groups.setdefault(one.dimension, []).append(one.sql(bind))
        parts += [f"({' OR '.join(choices)})" for choices in groups.values()]
        return " AND ".join(parts) or "true", values


Where = Filter | Mapping[str, str | None] | Sequence[str] | None


def as_filter(where: Where) -> Filter:
    """A filter from `DIM=VALUE` texts (`!=`, globs, in either case), or from a mapping of dimensions to the very value
    as a table shows it. Raises InputError for an unknown dimension or a text without `=`."""
    if isinstance(where, Filter):
        return where
    if isinstance(where, Mapping):
        return Filter(
            tuple(
                Condition(dimension(name, "filter"), None if value is None else unquoted(value), exact=True)
                for name, value in where.items()
            )
        )
    return Filter(tuple(map(_parse, where or ())))


def _parse(text: str) -> Condition:
    name, mark, value = text.partition("=")
    if not mark:
        known = text if text in {entry.name for entry in REGISTRY} else "agent"
        raise InputError(f"--where {text} has no '='", remedy=f"Write it as: --where {known}=VALUE")
    if len(value) > LONGEST or "\x00" in value:
        raise InputError(f"the value of --where {name} is longer than {LONGEST:,} characters or holds a NUL")
    negated = name.endswith("!")
    return Condition(dimension(name.removesuffix("!").strip(), "filter"), unquoted(value), negated)
