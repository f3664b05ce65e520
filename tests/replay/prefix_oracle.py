"""A plain-Python provider's prompt cache, over prefixes written out as tuples: the truth for the prefix kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from replay.provider_cache.simulate import PromptCacheRule
from replay.traffic.prompts import Prompts

LONG_AGO = -(10**15)


class Prompt:
    """One prompt as blocks of (content, tokens or -1, last of its text), and the provider's own count of it."""

    def __init__(self, asked: Prompts, row: int, whole: int) -> None:
        contents = asked.contents
        counts = contents.tokens["o200k_base"]
        numbers = asked.ids[asked.offsets[row] : asked.offsets[row + 1]].tolist()
        self.blocks: list[tuple[Any, int, bool]] = []
        for number in numbers:
            own = contents.block_hashes[contents.block_offsets[number] : contents.block_offsets[number + 1]].tolist()
            own = own or [("bare", number)]
            count = int(counts[number])
            for place, block in enumerate(own):
                last = place == len(own) - 1
                size = count - 128 * place if last else 128
                self.blocks.append((block, -1 if count < 0 else max(1, size) if place else size, last))
        self.head = 0
        for number in numbers:
            if contents.kind[number] not in (0, 1, 5):
                break
            self.head += max(1, int(contents.block_offsets[number + 1] - contents.block_offsets[number]))
        self.known = sum(max(0, int(counts[number])) for number in numbers)
        self.unknown = sum(tokens < 0 for _, tokens, _ in self.blocks)
        self.whole = whole
        self.total = whole if whole >= 0 else self.known
        self.tools = bool(numbers) and contents.kind[numbers[0]] == 0
        self.prefix = [tuple(block for block, _, _ in self.blocks[:n]) for n in range(len(self.blocks) + 1)]

    def tokens(self, length: int) -> int:
        """Tokens of the first blocks, in the provider's count."""
        matched = sum(tokens for _, tokens, _ in self.blocks[:length] if tokens >= 0)
        missing = sum(tokens < 0 for _, tokens, _ in self.blocks[:length])
        if length == 0 or self.whole < 0:
            return matched
        if self.whole < self.known:
            return matched * self.whole // self.known
        if self.unknown:
            return matched + (self.whole - self.known) * missing // self.unknown
        if self.known <= 0:
            return 0
        if 5 * (self.total - self.known) <= self.known + 320 or self.tools:
            return matched * self.whole // self.known
        return matched + self.whole - self.known


class Machines:
    """What the provider remembers: (scope, machine, prefix) -> (first written, last use)."""

    def __init__(self) -> None:
        self.seen: dict[Any, tuple[int, int]] = {}
        self.load: dict[Any, tuple[int, int]] = {}

    def choose(self, head: Any, now: int, limit: int | None) -> int:
        minute, count = self.load.get(head, (-1, 0))
        count = count + 1 if minute == now // 60_000 else 1
        self.load[head] = (now // 60_000, count)
        return int(limit is not None and count > limit)

    def fresh(self, at: Any, now: int, rule: PromptCacheRule) -> bool:
        first, last = self.seen.get(at, (0, LONG_AGO))
        young = rule.max_age_ms is None or now - first <= rule.max_age_ms
        return last <= now <= last + rule.ttl_ms and young

    def implicit(self, prompt: Prompt, rule: PromptCacheRule, mine: int, now: int, ready: int) -> tuple[int, int]:
        head = prompt.prefix[min(2, len(prompt.blocks))]
        place = (mine, self.choose((mine, head), now, rule.requests_per_minute))
        found = 0
        while found < len(prompt.blocks) and self.fresh((*place, prompt.prefix[found + 1]), now, rule):
            found += 1
        matched = prompt.tokens(found)
        matched = 0 if matched < rule.minimum else matched - matched % rule.increment
        if prompt.total < rule.minimum:
            return matched, 0
        for length in range(1, len(prompt.blocks) + 1):
            at = (*place, prompt.prefix[length])
            first, last = self.seen.get(at, (0, LONG_AGO))
            when = min(last, ready) if last > now else ready
            self.seen[at] = (first, now) if length <= found else (when, when)
        return matched, prompt.total - prompt.total % rule.increment - matched if rule.writes_billed else 0

    def breakpoints(self, prompt: Prompt, rule: PromptCacheRule, mine: int, now: int, ready: int) -> tuple[int, int]:
        ends = [length for length in range(1, len(prompt.blocks) + 1) if prompt.blocks[length - 1][2]]
        head = prompt.head if "head" in (rule.breakpoints or ()) else 0
        found = 0
        for breakpoint_at in (len(prompt.blocks), head):
            near = [end for end in ends if end <= breakpoint_at][::-1][: rule.lookback]
            hits = [end for end in near if end > found and self.fresh((mine, 0, prompt.prefix[end]), now, rule)]
            found = max([found, *hits[:1]])
        matched = prompt.tokens(found)
        if found:
            self.seen[mine, 0, prompt.prefix[found]] = (0, now)
        if prompt.total < rule.minimum:
            return matched, 0
        if found < len(prompt.blocks):
            self.seen[mine, 0, prompt.prefix[-1]] = (0, ready)
        if 0 < head < len(prompt.blocks):
            at = (mine, 0, prompt.prefix[head])
            if head > found and prompt.tokens(head) >= rule.minimum:
                self.seen[at] = (0, ready)
            elif head <= found and at in self.seen and now - self.seen[at][1] <= rule.ttl_ms:
                self.seen[at] = (0, now)
        return matched, prompt.total - matched if found < len(prompt.blocks) else 0


def prompt_cache(
    asked: Prompts,
    *,
    scope: np.ndarray,
    start_ms: np.ndarray,
    alive: np.ndarray,
    rule: np.ndarray,
    rules: Sequence[PromptCacheRule],
    input_tokens: np.ndarray,
    ready_ms: np.ndarray,
) -> tuple[list[int], list[int]]:
    """What `replay.provider_cache.simulate.simulate` must return."""
    machines = Machines()
    read, written = [0] * len(asked), [0] * len(asked)
    for row in range(len(asked)):
        prompt = Prompt(asked, row, int(input_tokens[row]))
        if not alive[row] or rule[row] < 0 or not prompt.blocks:
            continue
        one = rules[rule[row]]
        ask = machines.implicit if one.breakpoints is None else machines.breakpoints
        read[row], written[row] = ask(prompt, one, int(scope[row]), int(start_ms[row]), int(ready_ms[row]))
    return read, written
