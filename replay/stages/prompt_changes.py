"""The stage `prompts`: texts of prompts replaced by those of files, counted again token by token.

A call without texts cannot tell whether it uses a prompt: it stays as it was, and is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis import formatting
from replay.message_text import rewrite
from replay.stages import rule_evaluation
from replay.stages.compression import Calls
from replay.strategy.prompts_schema import PromptChange
from replay.traffic.prompt_rewriting import Requests, changed_requests, finish, sums
from replay.traffic.prompts import KINDS, Int64, Prompts
from replay.traffic.template_text import Replacement

Bools = NDArray[np.bool_]
TOOLS: Final = KINDS.index("tools")
_HEAD: Final = tuple(KINDS.index(kind) for kind in ("system", "developer"))
_ASKED: Final = tuple(KINDS.index(kind) for kind in ("system", "developer", "user", "other"))  # not what answers say


@dataclass(frozen=True)
class Use:
    """What one change met: the calls that use the old text, and those that cannot tell. `unfilled`: placeholders of
    the new text whose values no log has."""

    change: PromptChange
    calls: Bools
    unknown: Bools
    unfilled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reworded:
    """Requests after the changes. Arrays have one element per call; `token_delta` and `words_delta` are new minus old,
    0 for a call that is not `counted`."""

    prompts: Prompts
    token_delta: Int64
    words_delta: Int64
    changed: Bools
    counted: Bools
    uses: tuple[Use, ...]

    def limits(self, inside: Bools) -> Iterator[str]:
        """What the changes assume or leave out for the calls of `inside`."""
        for use in self.uses:
            name, unknown = use.change.label, int((inside & use.unknown).sum())
            if not (inside & use.calls).any():
                yield f"prompts: no call uses the old text of {name}"
            if unknown:
                calls = formatting.count(unknown, "call")
                yield f"prompts: {calls} without text may use {name}, and are left as they are"
            if use.unfilled:
                slots = ", ".join(f"{{{slot}}}" for slot in use.unfilled)
                yield f"prompts: what would stand for {slots} in {use.change.new.file} is in no log; counted as written"
        uncounted = int((inside & self.changed & ~self.counted).sum())
        if uncounted:
            yield f"prompts: the tokens of {formatting.count(uncounted, 'changed call')} cannot be counted"
        if (inside & self.changed).any():
            yield "prompts: the answers to a changed prompt are taken to be as long as those logged"


def reword(prompts: Prompts, changes: Sequence[PromptChange], calls: Calls) -> Reworded:
    """Apply the changes in the order of the file."""
    n = len(prompts)
    requests = Requests(prompts)
    uses = []
    for change in changes:
        chosen = np.ones(n, bool)
        if change.match or change.when:
            chosen = rule_evaluation.selected(change, calls.frame(rule_evaluation.columns_of([change])))
        if calls.held is not None:
            chosen = chosen & ~calls.held
        uses.append(_apply(requests, change, chosen))
    after, _ = finish(prompts, requests, calls.encoding, calls.encodings)
    changed = changed_requests((prompts.offsets, prompts.ids), (after.offsets, after.ids))
    delta, counted = np.zeros(n, np.int64), np.zeros(n, bool)
    for code, encoding in enumerate(calls.encodings):
        mine = calls.encoding == code
        if encoding in prompts.contents.tokens and mine.any():
            (old, lacking), (new, lacks) = (sums(one, one.contents.tokens[encoding]) for one in (prompts, after))
            sure = mine & (lacking == lacks)  # contents without a count are the same ones on both sides
            delta[sure] = (new - old)[sure]
            counted |= sure
    words = sums(after, after.contents.words)[0] - sums(prompts, prompts.contents.words)[0]
    known = calls.input_tokens >= 0
    return Reworded(
        prompts=after,
        token_delta=np.where(changed & counted & known, np.maximum(delta, -calls.input_tokens), 0),
        words_delta=np.where(changed, words, 0),
        changed=changed,
        counted=counted & known,
        uses=tuple(uses),
    )


def _apply(requests: Requests, change: PromptChange, chosen: Bools) -> Use:
    """Replace in place."""
    requests.selected = chosen
    if change.old is None:
        kinds: tuple[int, ...] = (TOOLS,) if change.part == "tools" else _HEAD
        used = _replace_part(requests, change, kinds)
        return Use(change, used, chosen & (np.diff(requests.offsets) == 0))
    if change.old.form == "messages":
        unknown = _textless(requests, tuple(range(len(KINDS))), chosen)
        return Use(change, _replace_run(requests, change.old.value, change.new.value), unknown)
    if change.old.form == "tools":
        unknown = _textless(requests, (TOOLS,), chosen)
        swap = _tool_swap(change.old.value, change.new.value)
        return Use(change, _map(requests, (TOOLS,), (), swap), unknown)
    unknown = _textless(requests, _ASKED, chosen)
    replacement = Replacement(change.old.text, change.new.text)
    used = _map(requests, _ASKED, replacement.needles, lambda message: _rewritten(message, replacement))
    return Use(change, used, unknown & ~used, replacement.unfilled)


def _rewritten(message: Any, replacement: Replacement) -> Any:
    """The message with the new text in the place of the old one; None where it does not hold the old one."""
    found = False

    def change(text: str) -> str:
        nonlocal found
        new = replacement.apply(text)
        found |= new is not None
        return text if new is None else new

    new = rewrite(message, change)
    return new if found else None


def _tool_swap(old: list[Any], new: list[Any]) -> Callable[[Any], Any]:
    """A list of tools that holds all the old ones has the new ones in the place of the first of them."""

    def change(tools: Any) -> Any:
        if not isinstance(tools, list) or not all(one in tools for one in old):
            return None
        place = min(tools.index(one) for one in old)
        kept = [one for one in tools if one not in old]
        before = sum(one not in old for one in tools[:place])
        return [*kept[:before], *new, *kept[before:]]

    return change


def _map(requests: Requests, kinds: tuple[int, ...], needles: Sequence[str], change: Callable[[Any], Any]) -> Bools:
    """Replace messages of these kinds in the selected requests by `change(message)`, once per distinct text; None
    means that it is none of those meant. The requests that hold one that is."""
    inside = np.repeat(requests.selected, np.diff(requests.offsets)) & np.isin(requests.kinds(), kinds)
    numbers = np.unique(requests.ids[inside])
    size = int(numbers[-1]) + 1 if len(numbers) else 0
    table, met = np.arange(size, dtype=np.int32), np.zeros(size, bool)
    for number, kind in zip(numbers.tolist(), requests.kinds_of(numbers).tolist(), strict=True):
        text = requests.text(number)
        if text is None or (needles and not any(needle in text for needle in needles)):
            continue
        message = requests.message(number)
        new = change(message)
        if new is not None:
            met[number] = True
            table[number] = number if new == message else requests.intern(new, kind)
    places = np.flatnonzero(inside)
    return _put(requests, places[met[requests.ids[places]]] if size else places[:0], table)


def _put(requests: Requests, places: Int64, table: NDArray[np.int32]) -> Bools:
    """Set the contents at `places` by a table over contents; the requests that hold one of the places."""
    used = np.zeros(len(requests), bool)
    used[np.searchsorted(requests.offsets, places, side="right") - 1] = True
    new = table[requests.ids[places]]
    moved = new != requests.ids[places]
    requests.put(places[moved], new[moved])
    return used


def _replace_part(requests: Requests, change: PromptChange, kinds: tuple[int, ...]) -> Bools:
    """All contents of these kinds in the selected requests become one; requests without any stay as they are."""
    inside = np.repeat(requests.selected, np.diff(requests.offsets)) & np.isin(requests.kinds(), kinds)
    places = np.flatnonzero(inside)
    rows = requests.rows()[places]
    used = np.zeros(len(requests), bool)
    used[rows] = True
    if not len(places):
        return used
    first = places[np.concatenate([[True], rows[1:] != rows[:-1]])]
    new = np.empty(len(KINDS), np.int32)
    for kind in kinds:
        message = change.new.value if kind == TOOLS else {"role": KINDS[kind], "content": change.new.text}
        new[kind] = requests.intern(message, kind)
    requests.put(first, new[requests.kinds()[first]])
    kept = ~inside
    kept[first] = True
    requests.keep(kept)
    return used


def _replace_run(requests: Requests, old: list[Any], new: list[Any]) -> Bools:
    """Each run of messages equal to `old` becomes `new`, in the selected requests."""
    ids, rows = requests.ids, requests.rows()
    steps = len(old)
    used = np.zeros(len(requests), bool)
    if len(ids) < steps:
        return used
    begins = requests.selected[rows[: len(ids) - steps + 1]] & (rows[: len(ids) - steps + 1] == rows[steps - 1 :])
    present = np.unique(ids[np.repeat(requests.selected, np.diff(requests.offsets))])
    for place, message in enumerate(old):
        same = [
            number
            for number in present.tolist()
            if _said(requests, number) == (message["role"], message.get("content"))
        ]
        begins &= np.isin(ids[place : len(ids) - steps + 1 + place], same)
    starts: list[int] = []
    for start in np.flatnonzero(begins).tolist():
        if not starts or start >= starts[-1] + steps:
            starts.append(start)
    used[rows[starts]] = True
    if not starts:
        return used
    kinds = {name: number for number, name in enumerate(KINDS)}
    put = np.array([requests.intern(one, kinds.get(one["role"], kinds["other"])) for one in new], np.int32)
    if new == old:
        return used
    copies = np.ones(len(ids), np.int64)
    heads = np.array(starts)
    for step in range(steps):
        copies[heads + step] = 0
    copies[heads] = len(put)
    grown = np.repeat(ids, copies)
    behind = np.cumsum(copies)
    for start in starts:
        grown[behind[start] - len(put) : behind[start]] = put
    running = np.concatenate([[0], behind])
    requests.ids, requests.offsets = grown, running[requests.offsets]
    return used


def _said(requests: Requests, number: int) -> tuple[Any, Any]:
    message = requests.message(number)
    return (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)


def _textless(requests: Requests, kinds: tuple[int, ...], chosen: Bools) -> Bools:
    """The chosen requests that have no contents, or one of these kinds whose text the store has not."""
    known = np.zeros(len(requests.contents), np.int64)
    known[list(requests.contents.texts)] = 1
    lacking = (requests.ids < len(known)) & np.isin(requests.kinds(), kinds)
    lacking[lacking] = known[requests.ids[lacking]] == 0
    running = np.concatenate([[0], np.cumsum(lacking)])
    some = running[requests.offsets[1:]] > running[requests.offsets[:-1]]
    return np.asarray(chosen & (some | (np.diff(requests.offsets) == 0)))
