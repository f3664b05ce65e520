"""One truth for tokens: inclusive counts of a call from what an emitter logs, by its own rule and by what adds up."""

from __future__ import annotations

from ingest.records.call import Call


def settle(
    call: Call,
    *,
    input_tokens: int | None,
    output_tokens: int | None,
    cache_read: int | None = None,
    cache_write: int | None = None,
    cache_write_1h: int | None = None,
    reasoning: int | None = None,
    total: int | None = None,
    cache_inside: bool | None = True,
    reasoning_inside: bool = True,
) -> None:
    """Set the token fields of `call`, inclusive, from counts as one emitter logs them.

    `cache_inside`: whether this emitter's `input_tokens` holds cache reads and writes; None where it is not known.
    `reasoning_inside`: whether its `output_tokens` holds reasoning. What the counts themselves say goes before both:

    1. A total that equals one reading of the parts (cache inside or beside the input, reasoning inside or beside the
       output) decides for that reading. Of several, the emitter's own comes first, of the input before the output. A
       total that is no more than the two counts added says nothing about a cache that the emitter is known to log
       beside them.
    2. Cache larger than the input lies beside it; reasoning larger than the output likewise.
    3. A total above every reading: the rest is output that was billed and not shown, as by gateways that hide
       reasoning.
    4. A total below every reading: parts that are listed twice where the emitter lists them apart, and otherwise a
       total that is not believed. Both are remarked on.
    5. Where the emitter is not known and the total is absent or the two counts added, nothing tells whether the input
       holds its cache: it stays None, `ambiguous_usage` is remarked on, and the call has no cost.
    """
    if cache_write_1h and cache_write_1h > (cache_write or 0):
        cache_write = cache_write_1h  # the part of a count that is not there, or is counted apart from it
    read, written = cache_read or 0, cache_write or 0
    cached = read + written
    source = "reported"
    if total is not None and input_tokens is None and output_tokens is not None and total >= output_tokens:
        input_tokens, cache_inside, source = total - output_tokens, True, "recovered_from_total"
    elif total is not None and output_tokens is None and input_tokens is not None and total >= input_tokens:
        output_tokens, source = total - input_tokens, "recovered_from_total"
        if cache_inside is False and output_tokens >= cached:
            output_tokens -= cached
        total = None
    if input_tokens is not None:
        plain = total is not None and total == input_tokens + (output_tokens or 0)
        if cache_inside is None and 0 < cached <= input_tokens and (total is None or plain):
            call.issue("ambiguous_usage", f"input {input_tokens} or {input_tokens + cached}: its cache of {cached}")
            input_tokens, total, source = None, None, "ambiguous"
    if input_tokens is not None:
        inputs = _input_readings(input_tokens, read, written, cache_inside)
        outputs = _output_readings(output_tokens, reasoning, reasoning_inside)
        chosen = None
        if total is not None and not (plain and cached and cache_inside is False):
            chosen = next(((a, b) for a in inputs for b in outputs if a + (b or 0) == total), None)
        asked, made = chosen or (inputs[0], outputs[0])
        if (asked != input_tokens and cache_inside is not False) or asked != inputs[0]:
            call.issue("cache_outside_input", f"input {input_tokens}, cache {cached}, total {total}: {asked} in all")
            source = "summed"
        if (made != output_tokens and reasoning_inside) or made != outputs[0]:
            call.issue("reasoning_outside_output", f"output {output_tokens}, reasoning {reasoning}, total {total}")
            source = "summed"
        if total is not None and chosen is None and made is not None and not (plain and cache_inside is False):
            if total > asked + made:
                reasoning = (reasoning or 0) + total - asked - made
                made = total - asked
                source = "recovered_from_total"
            else:
                call.issue("total_below_parts", f"total {total}, parts {asked + made}")
                if asked > input_tokens and total - made >= max(input_tokens, cached):
                    asked = total - made
                    source = "recovered_from_total"
        input_tokens, output_tokens = asked, made
    elif reasoning is not None and output_tokens is not None:
        output_tokens = _output_readings(output_tokens, reasoning, reasoning_inside)[0]
    if reasoning is not None and output_tokens is not None and reasoning > output_tokens:
        call.issue("reasoning_above_output", f"reasoning {reasoning} > output {output_tokens}: not believed")
        reasoning = None
    call.input_tokens = input_tokens
    call.output_tokens = output_tokens
    call.cache_read_input_tokens = cache_read
    call.cache_creation_input_tokens = cache_write
    call.cache_creation_1h_input_tokens = cache_write_1h
    call.reasoning_output_tokens = reasoning
    missing = input_tokens is None and output_tokens is None and source != "ambiguous"
    call.tokens_source = "missing" if missing else source


def set_partial(call: Call, detail: str) -> None:
    """Mark a call whose log ends before its answer did: the output that was billed is not known."""
    call.issue("partial_usage", f"output {call.output_tokens}: {detail}")
    call.output_tokens = None
    call.reasoning_output_tokens = None
    call.tokens_source = "partial"


def _input_readings(count: int, read: int, written: int, inside: bool | None) -> list[int]:
    """The inclusive input that a logged count can mean, the emitter's own reading first; none below its cache."""
    both = count + read + written
    order = [both, count] if inside is False or read + written > count else [count, both]
    return list(dict.fromkeys(n for n in (*order, count + read, count + written) if n >= read + written))


def _output_readings(count: int | None, reasoning: int | None, inside: bool) -> list[int | None]:
    """The inclusive output that a logged count can mean, the emitter's own reading first."""
    if count is None or not reasoning:
        return [count]
    return [count, count + reasoning] if inside and reasoning <= count else [count + reasoning, count]
