"""Why near-identical prompts miss: per template the spans that differ, and what moving or masking them would be worth.

Every value is a re-simulation of the whole traffic. Moving a span to the end of the prompt keeps what the model reads,
and lets the provider's prompt cache match everything before it. Masking it in a gateway's cache key makes requests
equal that were not, so an answer made for one would be served for another: it is priced, and it is a risk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis.calendar_days import DAY_MS
from analysis.price_book.vocabulary import UNPRICED
from analysis.pricing.rate_table import Usage
from ingest.contents.tokenizer import measure
from replay.message_text import rewrite
from replay.message_text import texts as message_texts
from replay.outcomes import HIT
from replay.provider_cache import simulate as prompt_cache
from replay.provider_cache import varying_spans
from replay.response_cache.lookups import Demand, demand
from replay.response_cache.simulate import Tier, simulate
from replay.response_cache.stage import compressed_keys
from replay.traffic.call_rates import EVERY, CallRates, call_rates
from replay.traffic.load_prompts import chain_encoding, load_prompts
from replay.traffic.prompts import KINDS, Contents, Prompts
from replay.traffic.traffic import Traffic

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
MEANINGFUL = ("text", "number")  # what a request may be about: never to be left out of a key


@dataclass(frozen=True)
class Finding:
    """One template and what its varying spans cost, in pico-dollars over the window."""

    role: str
    agents: tuple[str | None, ...]  # who sends it, most calls first
    task: str | None  # of most of its calls
    calls: int
    texts: int  # distinct ones that would be one
    slots: tuple[varying_spans.Slot, ...]
    position: int  # tokens of the prompt before the first span, about
    moved: int  # saved by moving the spans to the end: dearest prompt tokens become cached ones
    masked: int  # saved by a cache whose key leaves the spans out, beyond what it saves now
    masked_hits: int  # calls that it would serve, beyond those it serves now

    @property
    def worth(self) -> int:
        """Pico-dollars of the better of the two remedies."""
        return max(self.moved, self.masked)


@dataclass(frozen=True)
class Diagnosis:
    """All findings, dearest first, and what they stand on."""

    findings: tuple[Finding, ...]
    days: int
    textless: int  # calls whose messages are not in the store
    prompt_cached: int  # calls of models with a prompt cache on their day


@dataclass
class _Caches:
    """The traffic's two kinds of cache, simulated as logged once and again under each finding."""

    traffic: Traffic
    prompts: Prompts
    rates: CallRates
    rule: Int32
    rules: tuple[prompt_cache.PromptCacheRule, ...]

    def __post_init__(self) -> None:
        self.read, self.written = self._provider(self.prompts)
        self.asks = demand(self.traffic)
        self.hits = self._gateway(self.asks)
        usage = self.traffic.usage
        unknown = usage.cache_read is None or bool((usage.cache_read < 0).all())
        self.base = self._usage(self.read, self.written) if unknown else usage
        self.cost = self.rates.price(self.base, EVERY).total

    def _provider(self, prompts: Prompts) -> tuple[Int64, Int64]:
        found = prompt_cache.simulate(
            prompt_cache.block_chains(prompts, chain_encoding(prompts.contents)),
            scope=self.traffic.model,
            start_ms=self.traffic.start_ms,
            alive=~self.traffic.gateway_hit,
            rule=self.rule,
            rules=self.rules,
            input_tokens=self.traffic.usage.input,
            answer_tokens=prompt_cache.prompted_answers(self.traffic.usage.output, self.traffic.usage.reasoning),
        )
        return found.cached_tokens, found.written_tokens

    def _usage(self, read: Int64, written: Int64) -> Usage:
        return replace(self.traffic.usage, cache_read=read, cache_write=written, cache_write_1h=None)

    def moved(self, prompts: Prompts) -> int:
        """Pico-dollars of the window that other prompts would save at the provider."""
        read, written = self._provider(prompts)
        whole = np.maximum(self.traffic.usage.input, 0)
        before_read = _known(self.base.cache_read, len(whole))
        before_written = _known(self.base.cache_write, len(whole))
        now_read = np.clip(before_read + read - self.read, 0, whole)
        now_written = np.clip(before_written + written - self.written, 0, whole - now_read)
        after = self.rates.price(self._usage(now_read, now_written), EVERY).total
        priced = (self.cost != UNPRICED) & (after != UNPRICED) & self.traffic.window
        return int((self.cost[priced] - after[priced]).sum())

    def _gateway(self, asks: Demand) -> NDArray[np.bool_]:
        return (simulate(asks.requests, [Tier("shared", ttl_ms=DAY_MS)]) == HIT) & asks.asked

    def masked(self, prompts: Prompts) -> tuple[int, int]:
        """(pico-dollars, hits) that a shared cache of 24 hours would win if these were its keys."""
        body = compressed_keys(self.traffic, self.prompts, prompts)
        whole = np.where(body < 0, -1, body * len(self.traffic.models) + self.traffic.model)
        _, dense = np.unique(whole, return_inverse=True)
        key = np.where(whole < 0, -1, dense).astype(np.int32)
        hits = self._gateway(replace(self.asks, requests=replace(self.asks.requests, key=key)))
        worth = self.asks.worth
        return int(worth[hits].sum() - worth[self.hits].sum()), int(hits.sum() - self.hits.sum())


def diagnose(traffic: Traffic, *, limit: int = 20, done: Callable[[], None] = lambda: None) -> Diagnosis:
    """The `limit` templates sent most often, each priced on its own; findings worth nothing are left out.

    `done` is called once per template. Needs message texts in the store.
    """
    prompts = load_prompts(traffic, texts=True)
    caches = _Caches(traffic, prompts, *_prices(traffic))
    calls = np.repeat(np.arange(len(prompts)), np.diff(prompts.offsets))
    findings = []
    for template in _templates(traffic, prompts, calls)[:limit]:
        finding = _price(traffic, prompts, calls, template, caches)
        if finding.worth > 0:
            findings.append(finding)
        done()
    findings.sort(key=lambda one: (-one.worth, one.role, one.agents and str(one.agents[0])))
    return Diagnosis(
        findings=tuple(findings),
        days=traffic.calendar_days,
        textless=int((traffic.window & (np.diff(prompts.offsets) == 0)).sum()),
        prompt_cached=int((traffic.window & (caches.rule >= 0)).sum()),
    )


def _prices(traffic: Traffic) -> tuple[CallRates, Int32, tuple[prompt_cache.PromptCacheRule, ...]]:
    rates = call_rates(traffic, traffic.models)
    providers, models = [a for a, _ in traffic.models], [b for _, b in traffic.models]
    rule, rules = prompt_cache.rules_of(providers, models, traffic.model, traffic.start_ms)
    usage = traffic.usage
    used = any(column is not None and bool((column > 0).any()) for column in (usage.cache_read, usage.cache_write))
    asked = [number for number, one in enumerate(rules) if one.opt_in]
    return rates, rule if used else np.where(np.isin(rule, asked), np.int32(-1), rule), rules


def _templates(traffic: Traffic, prompts: Prompts, calls: Int64) -> list[varying_spans.Template]:
    """Templates among the contents, by the number of calls that send them. A content is compared with those of the
    same role, agent and task, at the head of the prompt with its like and elsewhere with its like."""
    contents = prompts.contents
    first = np.full(len(contents), -1, np.int64)
    first[prompts.ids[::-1]] = np.arange(len(prompts.ids))[::-1]
    entries = []
    for number, text in sorted(contents.texts.items()):
        place = int(first[number])
        if place < 0 or contents.kind[number] == KINDS.index("tools"):
            continue
        call = int(calls[place])
        depth = min(place - int(prompts.offsets[call]), 1)
        group = (int(contents.kind[number]), int(traffic.agent[call]), int(traffic.task[call]), depth)
        plain = "\n".join(message_texts(msgspec.json.decode(text)))
        if plain:
            entries.append((place, number, group, plain))
    entries.sort()
    found = varying_spans.templates([(number, group, text) for _, number, group, text in entries])
    sent = np.bincount(prompts.ids, minlength=len(contents))
    return sorted(found, key=lambda one: (-int(sent[list(one.members)].sum()), one.members[0]))


def _price(
    traffic: Traffic, prompts: Prompts, calls: Int64, template: varying_spans.Template, caches: _Caches
) -> Finding:
    contents = prompts.contents
    members = np.array(template.members, np.int64)
    hit = np.isin(prompts.ids, members)
    rows = np.unique(calls[hit])
    rows = rows[traffic.window[rows]]
    agents = Counter(traffic.agent[rows].tolist())
    tasks = Counter(traffic.task[rows].tolist())
    maskable = all(slot.kind not in MEANINGFUL for slot in template.slots)
    saved, hits = caches.masked(_replaced(prompts, members)) if maskable else (0, 0)
    order = all(slot.kind == "order" for slot in template.slots)
    return Finding(
        role=KINDS[int(contents.kind[members[0]])],
        agents=tuple(traffic.agents[agent] for agent, _ in agents.most_common(3)),
        task=traffic.tasks[tasks.most_common(1)[0][0]] if tasks else None,
        calls=len(rows),
        texts=len(members),
        slots=template.slots,
        position=_position(prompts, calls, hit, template),
        moved=caches.moved(_replaced(prompts, members) if order else _with_tails(prompts, template)),
        masked=saved,
        masked_hits=hits,
    )


def _replaced(prompts: Prompts, members: Int64) -> Prompts:
    """The prompts with one text standing for all the template's."""
    stand_in = np.arange(len(prompts.contents), dtype=np.int32)
    stand_in[members] = members[0]
    return replace(prompts, ids=stand_in[prompts.ids])


def _with_tails(prompts: Prompts, template: varying_spans.Template) -> Prompts:
    """The prompts with the template's text without its spans, and each text's own spans at the end of the prompt."""
    contents = prompts.contents
    count = len(contents)
    members = np.array(template.members, np.int64)
    tail = np.full(count, -1, np.int32)
    tail[members] = np.arange(count + 1, count + 1 + len(members), dtype=np.int32)
    extra = tail[prompts.ids]
    rows = np.repeat(np.arange(len(prompts)), np.diff(prompts.offsets))
    replaced = np.where(extra >= 0, count, prompts.ids)
    # every request's own contents in order, then the tails of those that were replaced
    order = np.argsort(np.concatenate([rows * 2, rows[extra >= 0] * 2 + 1]), kind="stable")
    ids = np.concatenate([replaced, extra[extra >= 0]])[order].astype(np.int32)
    added = np.bincount(rows[extra >= 0], minlength=len(prompts))
    offsets = np.concatenate([[0], np.cumsum(np.diff(prompts.offsets) + added)]).astype(np.int64)
    return Prompts(offsets, ids, _with_stripped(contents, template))


def _with_stripped(contents: Contents, template: varying_spans.Template) -> Contents:
    """The contents, then the template's text without its spans, then one short text per member: what was taken out."""
    encoding = chain_encoding(contents)
    first, count = template.members[0], len(template.members)
    kind = np.full(count + 1, contents.kind[first], np.int8)
    size, blocks = measure([(_stripped(contents.texts[first], template.slots), "message")], encoding)[0]
    own = contents.tokens[encoding][list(template.members)]
    tails = np.where(own >= 0, np.maximum(own - size, 1), 1).astype(np.int32)
    end = int(contents.block_offsets[-1])
    return Contents(
        content_id=np.concatenate([contents.content_id, np.full(count + 1, -1, np.int32)]),
        kind=np.concatenate([contents.kind, kind]),
        words=np.concatenate([contents.words, np.zeros(count + 1, np.int32)]),
        tokens={encoding: np.concatenate([contents.tokens[encoding], [np.int32(size)], tails]).astype(np.int32)},
        block_offsets=np.concatenate([contents.block_offsets, np.full(count + 1, end + len(blocks), np.int64)]),
        block_hashes=np.concatenate([contents.block_hashes, np.array(blocks, np.int64)]),
        texts=contents.texts,
    )


def _stripped(text: str, slots: tuple[varying_spans.Slot, ...]) -> str:
    """A message without its spans, whose places count through the texts of the message joined by line breaks."""
    at = 0

    def cut(part: str) -> str:
        nonlocal at
        kept, done = [], 0
        for slot in slots:
            start, end = slot.start - at, slot.start + slot.length - at
            if start < len(part) and end > 0:
                kept.append(part[done : max(start, done)])
                done = max(done, end)
        at += len(part) + 1
        return "".join(kept) + part[done:]

    return msgspec.json.encode(rewrite(msgspec.json.decode(text), cut), order="sorted").decode()


def _position(prompts: Prompts, calls: Int64, hit: NDArray[np.bool_], template: varying_spans.Template) -> int:
    """Tokens before the first span in the first prompt that has the template: those of the texts before it, and its
    share of its own text."""
    contents = prompts.contents
    counts = contents.tokens[chain_encoding(contents)]
    place = int(np.flatnonzero(hit)[0])
    before = prompts.ids[int(prompts.offsets[calls[place]]) : place]
    number = template.members[0]
    length = len("\n".join(message_texts(msgspec.json.decode(contents.texts[number]))))
    own = int(counts[number]) * template.slots[0].start // max(length, 1)
    return int(np.maximum(counts[before], 0).sum()) + max(own, 0)


def _known(column: Int64 | None, count: int) -> Int64:
    return np.zeros(count, np.int64) if column is None else np.maximum(column, 0)
