"""Compression, classifier, cascade, fallback and coalescing on real calls, and the replay of what they logged."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from provider import Provider

from analysis.ledger.ledger import update
from ingest.capture import context
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from replay.engine.call_frame import replay_calls
from replay.live.apply import apply
from replay.strategy.schema import Strategy, load

CASCADE = """
name: cascade
route:
  - {match: {agent: writer}, cascade: [gpt-4o-mini, gpt-4o], escalate: {when: "finish_reason = 'length'"}}
"""
COALESCED = """
name: together
cache: {in_flight: coalesced, tiers: [{name: memory, scope: process, ttl: 1h}]}
"""
SHARED = COALESCED.replace("ttl: 1h}", "ttl: 1h}, {name: redis, scope: shared, ttl: 1d}")


def client_of(upstream: Provider, folder: Path, text: str, kind: Any = openai.OpenAI, **options: Any) -> Any:
    path = folder / "strategy.yaml"
    path.write_text(text)
    made = kind(api_key=options.pop("api_key", "sk-test"), base_url=upstream.url, max_retries=0)
    return apply(made, path, log=folder / options.pop("log", "calls.jsonl"), **options)


def ask(client: Any, question: str, model: str = "gpt-4-turbo", **options: Any) -> str:
    said = options.pop("messages", [{"role": "user", "content": question}])
    answer = client.chat.completions.create(model=model, messages=said, **options)
    return str(answer.choices[0].message.content)


def lines_of(client: Any) -> list[dict[str, Any]]:
    client.hindcast.log.flush()
    return [json.loads(line) for line in client.hindcast.log.path.read_text().splitlines()]


def replayed(folder: Path, *logs: Path) -> list[dict[str, Any]]:
    """What the replay of the log with the same file decides, and that its dollars are those of the log."""
    store = Store(folder / "s.duckdb")
    ingest(store, list(logs) or [folder / "calls.jsonl"])
    update(store)
    frame = replay_calls(store, load(folder / "strategy.yaml"))
    assert frame["cost_usd"].sum() == frame["logged_cost_usd"].sum() > 0
    return frame.to_dicts()


# -- compression -------------------------------------------------------------------------------------------------------


def test_the_body_that_is_sent_is_the_compressed_one_and_the_log_says_so(upstream: Provider, tmp_path: Path) -> None:
    text = """
name: shorter
compress: [whitespace, {history_window: {messages: 2, when: "input_words > 8"}}]
route: [{when: "input_words > 8", model: gpt-4o}]
cache: {tiers: [{name: memory, scope: process}]}
"""
    client = client_of(upstream, tmp_path, text)
    said = [
        {"role": "system", "content": "Be   brief.  "},
        *({"role": "user" if n % 2 == 0 else "assistant", "content": f"word  {n}\n\n\n\nmore"} for n in range(5)),
    ]
    for _ in range(2):
        ask(client, "", messages=said)
    ask(client, "short  one")
    sent = upstream.bodies
    assert [message["content"] for message in sent[0]["messages"]] == ["Be brief.", "word 3\n\nmore", "word 4\n\nmore"]
    assert [body["model"] for body in sent] == ["gpt-4o", "gpt-4-turbo"]
    assert sent[1]["messages"][0]["content"] == "short one"
    first, again, short = lines_of(client)
    assert first["compress"]["stages"] == ["whitespace", "history_window"]
    assert first["compress"]["tokens_before"] > first["compress"]["tokens_after"] > 0
    assert first["input_words"] == 2 + 5 * 3  # as asked: the rule looked at it
    assert (again["cache"], again["cache_tier"]) == ("hit", "memory")
    assert short["compress"]["stages"] == ["whitespace"]
    assert [row["model"] for row in replayed(tmp_path)] == ["gpt-4o", "gpt-4o", "gpt-4-turbo"]


def test_a_compressor_that_fails_lets_the_call_go_out_as_it_is(
    upstream: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(upstream, tmp_path, "name: c\ncompress: [whitespace]\nroute: [{default: gpt-4o}]\n")
    monkeypatch.setattr("replay.live.compression.compress", None)
    ask(client, "two  blanks")
    assert (upstream.bodies[0]["model"], upstream.bodies[0]["messages"][0]["content"]) == ("gpt-4o", "two  blanks")
    assert lines_of(client)[0]["compress"] == {"failed": "TypeError"}
    assert client.hindcast.counts["not compressed: TypeError"] == 1


def test_a_rule_that_reads_the_text_keeps_it_from_being_changed(upstream: Provider, tmp_path: Path) -> None:
    text = "name: c\ncompress: [whitespace]\nroute: [{when: \"text LIKE '%two  blanks%'\", model: gpt-4o}]\n"
    client = client_of(upstream, tmp_path, text)
    ask(client, "two  blanks")
    ask(client, "other  blanks")
    assert [body["messages"][0]["content"] for body in upstream.bodies] == ["two  blanks", "other blanks"]
    assert [body["model"] for body in upstream.bodies] == ["gpt-4o", "gpt-4-turbo"]


def test_responses_are_compressed_routed_and_cached_and_embeddings_left_alone(
    upstream: Provider, tmp_path: Path
) -> None:
    text = "name: r\ncompress: [whitespace]\ncache: {tiers: [{name: memory, scope: process}]}\n"
    client = client_of(upstream, tmp_path, text)
    for _ in range(2):
        answer = client.responses.create(model="gpt-4o", instructions="Be  kind.", input="Say  hello")
        assert answer.output_text.startswith("gpt-4o")
        vector = client.embeddings.create(model="text-embedding-3-small", input=["two  blanks", "one"])
        assert [len(one.embedding) for one in vector.data] == [3, 3]
    said, embedded = upstream.bodies
    assert (said["instructions"], said["input"]) == ("Be kind.", "Say hello")
    assert embedded["input"] == ["two  blanks", "one"]
    assert client.hindcast.counts["hit: memory"] == 2


# -- cascade, fallback, classifier -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_cascade_escalates_by_its_condition_and_replays_as_it_ran(
    upstream: Provider, tmp_path: Path, stream: bool
) -> None:
    client = client_of(
        upstream, tmp_path, CASCADE + "cache: {tiers: [{name: memory, scope: process}]}\n", include_usage=True
    )
    upstream.finish = lambda body: "length" if "hard" in str(body) and body["model"] == "gpt-4o-mini" else "stop"

    def asked(question: str) -> str:
        said = [{"role": "user", "content": question}]
        answer = client.chat.completions.create(model="gpt-4-turbo", messages=said, stream=stream)
        if not stream:
            return str(answer.choices[0].message.content).split()[0]
        return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices).split()[0]

    with context(agent="writer", tags=["team:a"]):
        got = [asked(question) for question in ("easy", "hard", "easy", "hard")]
    got.append(asked("hard but another agent's"))
    assert got == ["gpt-4o-mini", "gpt-4o", "gpt-4o-mini", "gpt-4o", "gpt-4-turbo"]
    assert upstream.asked == {"gpt-4o-mini": 2, "gpt-4o": 1, "gpt-4-turbo": 1}
    marks = [line.get("tags") for line in lines_of(client)]
    assert marks == [
        ["team:a", "hindcast:step-0"], ["team:a", "hindcast:step-0", "hindcast:cascade"],
        ["team:a", "hindcast:step-1"], ["team:a", "hindcast:step-0"], ["team:a", "hindcast:step-1"], None,
    ]  # fmt: skip
    rows = sorted(replayed(tmp_path), key=lambda row: row["call_no"])
    assert [row["model"] for row in rows] == [
        "gpt-4o-mini", "gpt-4o-mini", "gpt-4o", "gpt-4o-mini", "gpt-4o", "gpt-4-turbo",
    ]  # fmt: skip
    assert [row["cache_tier"] for row in rows] == [None, None, None, "memory", "memory", None]


def test_a_share_of_a_cascade_is_drawn_once_and_replayed_as_it_was_drawn(upstream: Provider, tmp_path: Path) -> None:
    text = CASCADE.replace("{when: \"finish_reason = 'length'\"}", "{share: 0.5}")
    client = client_of(upstream, tmp_path, text)
    with context(agent="writer"):
        live = [ask(client, f"question {number}").split()[0] for number in range(24)]
    assert set(live) == {"gpt-4o-mini", "gpt-4o"}
    assert len(lines_of(client)) == 24 + live.count("gpt-4o")
    rows = sorted(replayed(tmp_path), key=lambda row: row["call_no"])
    assert [row["model"] for row in rows] == [row["logged_model"] for row in rows]


def test_a_call_that_fails_is_answered_by_the_fallback_which_is_paid_once(upstream: Provider, tmp_path: Path) -> None:
    client = client_of(upstream, tmp_path, "name: f\nroute: [{default: gpt-4o-mini}]\non_error: gpt-4o\n")
    upstream.failing = {"gpt-4o-mini"}
    assert ask(client, "one").startswith("gpt-4o ")
    stream = client.chat.completions.create(
        model="gpt-4-turbo", messages=[{"role": "user", "content": "two"}], stream=True
    )
    assert "".join(part.choices[0].delta.content or "" for part in stream if part.choices).startswith("gpt-4o ")
    upstream.failing = {"gpt-4o-mini", "gpt-4o"}
    with pytest.raises(openai.InternalServerError):
        ask(client, "three")
    upstream.failing = set()
    assert ask(client, "four").startswith("gpt-4o-mini")
    assert client.hindcast.counts["on_error"] == 3
    tagged = [line["request_model"] for line in lines_of(client) if line.get("tags") == ["hindcast:on_error"]]
    assert tagged == ["gpt-4o"] * 3
    rows = replayed(tmp_path)
    assert not any(row["side_cost_usd"] for row in rows)
    assert [row["model"] for row in rows].count("gpt-4o") == 3


def test_a_classifier_is_really_asked_and_its_answer_is_the_task(upstream: Provider, tmp_path: Path) -> None:
    text = """
name: classified
classifier: {model: gpt-4.1-nano, asks: 'Is this hard?', labels: [easy, hard]}
route: [{match: {task: easy}, model: gpt-4o-mini}, {match: {task: hard}, model: gpt-4o}]
"""
    client = client_of(upstream, tmp_path, text)
    upstream.says = lambda body: "Hard." if "prove" in str(body["messages"][-1]) else "easy"
    assert [ask(client, question) for question in ("add", "prove it")] == ["easy", "Hard."]
    assert upstream.asked == {"gpt-4.1-nano": 2, "gpt-4o-mini": 1, "gpt-4o": 1}
    upstream.failing = {"gpt-4.1-nano"}
    ask(client, "prove it again")
    assert upstream.asked["gpt-4-turbo"] == 1
    lines = lines_of(client)
    assert [line.get("task") for line in lines] == [None, "easy", None, "hard", None, None]
    assert [line["request_model"] for line in replayed_lines(tmp_path)] == [line["request_model"] for line in lines]


def replayed_lines(folder: Path) -> list[dict[str, Any]]:
    return [{"request_model": row["model"]} for row in sorted(replayed(folder), key=lambda row: row["call_no"])]


def test_every_stage_runs_for_async_chats_streams_and_responses(
    upstream: Provider, tmp_path: Path, redis_url: str
) -> None:
    text = """
name: all of it
compress: [whitespace]
classifier: {model: gpt-4.1-nano, asks: 'Is this hard?', labels: [easy, hard]}
route:
  - match: {task: hard}
    cascade: [gpt-4o-mini, gpt-4o]
    escalate: {when: "finish_reason IN ('length', 'max_output_tokens')"}
  - {match: {task: easy}, model: gpt-4.1-mini}
on_error: gpt-4.1
cache: {in_flight: coalesced, tiers: [{name: memory, scope: process}, {name: redis, scope: shared, ttl: 1h}]}
"""
    client = client_of(upstream, tmp_path, text, openai.AsyncOpenAI, redis=redis_url, include_usage=True)
    upstream.finish = lambda body: "length" if body["model"] == "gpt-4o-mini" else "stop"
    upstream.says = lambda body: (
        ("hard" if "prove" in str(body) else "easy") if "nano" in body["model"] else body["model"]
    )
    upstream.failing = {"gpt-4.1-mini"}

    async def chat(question: str, stream: bool) -> str:
        said: Any = [{"role": "user", "content": question}]
        answer = await client.chat.completions.create(model="gpt-4-turbo", messages=said, stream=stream)
        if not stream:
            return str(answer.choices[0].message.content)
        return "".join([part.choices[0].delta.content or "" async for part in answer if part.choices])

    async def respond(question: str) -> str:
        answer = await client.responses.create(model="gpt-4-turbo", input=question)
        return str(answer.output_text.split()[0])

    async def everything() -> list[str]:
        found = []
        for _ in range(2):
            for question in ("prove  it", "add  up"):
                found += [
                    await chat(question, False),
                    await chat(f"{question} aloud", True),
                    await respond(f"{question} soon"),
                ]
        return found

    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(asyncio.run, everything()).result()
    assert got == (["gpt-4o"] * 3 + ["gpt-4.1"] * 3) * 2
    # hard ones came from the cache the second time; failed ones and the classifier were asked each time
    assert upstream.asked == {"gpt-4.1-nano": 12, "gpt-4o-mini": 3, "gpt-4o": 3, "gpt-4.1-mini": 6, "gpt-4.1": 6}
    assert client.hindcast.counts["hit: memory"] == 3
    assert not any(what.startswith(("fell open", "not ")) for what in client.hindcast.counts)
    live = [line.get("response_model") or line["request_model"] for line in lines_of(client)]
    assert [row["model"] for row in sorted(replayed(tmp_path), key=lambda row: row["call_no"])] == live


def test_what_a_policy_asked_by_itself_is_left_alone_by_any_other_strategy(upstream: Provider, tmp_path: Path) -> None:
    client = client_of(upstream, tmp_path, CASCADE)
    upstream.finish = lambda body: "length" if body["model"] == "gpt-4o-mini" else "stop"
    with context(agent="writer"):
        for number in range(3):
            ask(client, f"  question   {number}")
    client.hindcast.log.flush()
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [tmp_path / "calls.jsonl"])
    update(store)
    other = Strategy.from_dict({"name": "o", "compress": ["whitespace"], "route": [{"default": "gpt-4.1-nano"}]})
    frame = replay_calls(store, other)
    kept = frame.filter(frame["logged_model"] == "gpt-4o-mini")
    assert (kept["model"] == "gpt-4o-mini").all()
    assert (kept["cost_usd"] == kept["logged_cost_usd"]).all()
    assert (frame.filter(frame["logged_model"] == "gpt-4o")["model"] == "gpt-4.1-nano").all()


def test_batch_rules_only_mark_the_calls(upstream: Provider, tmp_path: Path) -> None:
    client = client_of(upstream, tmp_path, "name: b\nbatch: [{match: {agent: nightly}}]\n")
    with context(agent="nightly", tags=["x"]):
        ask(client, "tonight")
    ask(client, "now")
    assert [line.get("tags") for line in lines_of(client)] == [["x", "hindcast:batch"], None]
    assert "service_tier" not in upstream.bodies[0]


# -- calls in flight together ------------------------------------------------------------------------------------------


def test_equal_calls_of_threads_in_flight_together_are_one(upstream: Provider, tmp_path: Path) -> None:
    client = client_of(upstream, tmp_path, COALESCED)
    upstream.hold = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(ask, client, "together")
        upstream.await_asked(1)
        others = [pool.submit(ask, client, "together") for _ in range(6)]
        different = pool.submit(ask, client, "another")
        upstream.await_asked(2)
        upstream.hold.set()
        answers = {future.result() for future in (first, *others)}
    assert len(answers) == 1
    assert different.result() not in answers
    assert upstream.asked.total() == 2
    assert client.hindcast.counts["coalesced"] + client.hindcast.counts["hit: memory"] == 6
    live = sorted((line.get("cache") or "sent") for line in lines_of(client))
    outcomes = [row["outcome"].replace("miss", "sent") for row in replayed(tmp_path)]
    assert sorted(outcomes) == live


def test_equal_calls_of_asyncio_in_flight_together_are_one(upstream: Provider, tmp_path: Path) -> None:
    client = client_of(upstream, tmp_path, COALESCED, openai.AsyncOpenAI)
    upstream.wait = 0.2

    async def together() -> list[str]:
        async def one(stream: bool) -> str:
            answer = await client.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "tell"}], stream=stream
            )
            if not stream:
                return str(answer.choices[0].message.content)
            return "".join([part.choices[0].delta.content or "" async for part in answer if part.choices])

        return await asyncio.gather(*(one(number % 2 == 0) for number in range(40)))

    with ThreadPoolExecutor(1) as pool:
        assert len(set(pool.submit(asyncio.run, together()).result())) == 1
    assert upstream.asked.total() == 2  # a stream and a whole answer are not each other's


def test_a_leader_that_fails_lets_each_make_its_own_call(upstream: Provider, tmp_path: Path) -> None:
    client = client_of(upstream, tmp_path, COALESCED)
    upstream.hold = threading.Event()
    upstream.failing = {"gpt-4-turbo"}

    def attempt() -> str:
        try:
            return ask(client, "together")
        except openai.InternalServerError:
            return "failed"

    with ThreadPoolExecutor(5) as pool:
        futures = [pool.submit(attempt)]
        upstream.await_asked(1)
        futures += [pool.submit(attempt) for _ in range(4)]
        upstream.hold.set()
        assert [future.result() for future in futures] == ["failed"] * 5
    assert upstream.asked.total() == 5
    assert client.hindcast.counts["waited in vain"] == 4


def test_a_thread_does_not_wait_for_its_own_stream(upstream: Provider, tmp_path: Path) -> None:
    client = client_of(upstream, tmp_path, COALESCED)
    said = [{"role": "user", "content": "twice"}]
    with client.chat.completions.create(model="gpt-4o", messages=said, stream=True) as first:
        next(iter(first))
        second = client.chat.completions.create(model="gpt-4o", messages=said, stream=True)
        assert "".join(part.choices[0].delta.content or "" for part in second if part.choices)
    assert upstream.asked.total() == 2


def test_processes_and_keys_share_what_is_in_flight_only_where_they_may(
    upstream: Provider, tmp_path: Path, redis_url: str
) -> None:
    def made(number: int, key: str) -> Any:
        return client_of(upstream, tmp_path, SHARED, redis=redis_url, log=f"calls-{number}.jsonl", api_key=key)

    one, two, other = made(1, "sk-one"), made(2, "sk-one"), made(3, "sk-other")
    upstream.hold = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(ask, one, "together")
        upstream.await_asked(1)
        second, third = pool.submit(ask, two, "together"), pool.submit(ask, other, "together")
        upstream.await_asked(2)
        upstream.hold.set()
        assert first.result() == second.result() == third.result()  # the provider answers by the question
    assert upstream.asked.total() == 2
    assert two.hindcast.counts["coalesced"] == 1
    assert other.hindcast.counts["coalesced"] == 0
