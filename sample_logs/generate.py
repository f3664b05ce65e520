"""The demo's log: five weeks of a four-agent content pipeline, from causes and a seed.

`generate(directory)` writes zstd-compressed JSONL files in Hindcast's own log format, one a week. The same seed gives
the same bytes. On the spike day the pipeline goes from one way of making an article to another (`pipeline.BEFORE`,
`pipeline.AFTER`); the number of articles stays what it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import zstandard
from numpy.random import Generator, SeedSequence, default_rng

from sample_logs import reviews, wording
from sample_logs.pipeline import AFTER, BEFORE, STEPS, Article, Call, Prompts, Research
from sample_logs.texts import PAGE, Beat, message

MODEL = reviews.LARGE
START, DAYS, SPIKE_DAY = date(2024, 2, 5), 35, date(2024, 3, 5)
DAY = 86_400.0


@dataclass(frozen=True)
class Traffic:
    """What is asked of the pipeline, and what goes wrong around it."""

    articles: float = 56.0  # a working day
    weekday: tuple[float, ...] = (1.03, 1.02, 1.02, 1.01, 1.0, 0.94, 0.93)  # Monday first
    noise: float = 0.012  # of a day's number of articles, as a share
    hours: tuple[float, ...] = (1, 1, 1, 1, 2, 3, 5, 8, 9, 9, 8, 7, 7, 8, 8, 7, 6, 5, 4, 3, 3, 2, 1, 1)
    second_runs: float = 0.06  # topics that an editor starts again hours later
    # one article in so many is logged with its texts, the others by hash; closer watched after the feature shipped
    text_every: tuple[int, int] = (80, 36)
    standing_pages: int = 8  # that the trend digest reads at 05:00 every day
    failure: float = 0.004  # chance that a request is refused and asked again
    export_hour: float = 6.5  # the log ends at this hour of the morning after the last whole day


def generate(
    directory: Path, *, seed: int = 7, days: int = DAYS, spike_day: date = SPIKE_DAY, traffic: Traffic | None = None
) -> list[Path]:
    """Writes the log of `days` whole days from START on, and some hours; returns its files in the order of time."""
    traffic = traffic or Traffic()
    end = days * DAY + traffic.export_hour * 3600
    rng = default_rng(SeedSequence([seed, 1]))
    lines = [
        line
        for call in sorted(calls(seed, days, spike_day, traffic), key=lambda call: (call.start, call.step))
        if call.start < end
        for line in _lines(call, rng, traffic.failure)
    ]
    directory.mkdir(parents=True, exist_ok=True)
    return _write(directory, seed, lines)


def calls(seed: int, days: int, spike_day: date, traffic: Traffic) -> Iterator[Call]:
    """The successful calls that the traffic makes, article by article; some lie after the end of the log."""
    rng = default_rng(SeedSequence([seed, 0]))
    beats = [Beat(name) for name in wording.BEATS]
    prompts = Prompts()
    hours = [weight / sum(traffic.hours) for weight in traffic.hours]
    yield from _digest(rng, days + 1, beats[0], prompts, traffic)
    number = int(rng.integers(min(traffic.text_every)))
    for day in range(days + 1):
        today = START + timedelta(days=day)
        shipped = today >= spike_day
        way, text_every = (AFTER if shipped else BEFORE), traffic.text_every[shipped]
        planned = traffic.articles * traffic.weekday[today.weekday()] * float(rng.normal(1.0, traffic.noise))
        starts = sorted(
            day * DAY + (float(rng.choice(24, p=hours)) + float(rng.random())) * 3600 for _ in range(round(planned))
        )
        again = {int(i) for i in rng.permutation(len(starts))[: round(traffic.second_runs * len(starts))]}
        second: list[tuple[float, Research, bool, Beat]] = []
        for position, start in enumerate(starts):
            number += 1
            full, beat = number % text_every == 0, beats[int(rng.integers(len(beats)))]
            article = Article(f"{today:%m%d}-{number:04d}", start, way, _stream(seed, number), beat, prompts, full)
            research = article.run()
            yield from article.calls
            if position in again:
                second.append((start + float(rng.uniform(2, 9)) * 3600, research, full, beat))
        for start, research, full, beat in second:
            number += 1
            article = Article(f"{today:%m%d}-{number:04d}", start, way, _stream(seed, number), beat, prompts, full)
            article.run(research)
            yield from article.calls


def _stream(seed: int, number: int) -> Generator:
    return default_rng(SeedSequence([seed, 2, number]))


def _digest(rng: Generator, days: int, beat: Beat, prompts: Prompts, traffic: Traffic) -> Iterator[Call]:
    """A scheduled job that reads the same standing pages at 05:00 every day."""
    pages = [
        message("user", beat.draw(rng, 3000, True, PAGE), f"standing/{page}", True)
        for page in range(traffic.standing_pages)
    ]
    answers = [message("assistant", beat.draw(rng, 320, True), f"digest/{page}", True) for page in range(len(pages))]
    for day in range(days):
        name = f"digest-{START + timedelta(days=day):%m%d}"
        at = day * DAY + 5 * 3600 + float(rng.uniform(0, 20))
        for page, answer in zip(pages, answers, strict=True):
            seconds = float(rng.lognormal(0.0, 0.15)) * (0.8 + answer.tokens / 28)
            asked = (prompts.system["trend_digest", True], page)
            yield Call(at, seconds, "trend_digest", f"{name}/trend_digest", name, 0, asked, answer)
            at += seconds + 2


def _lines(call: Call, rng: Generator, failure: float) -> Iterator[tuple[int, str]]:
    """The log lines of one call as (start in ms, JSON); a refused request is logged before its retry."""
    start = round(call.start * 1000)
    attempt = 1
    if rng.random() < failure:
        yield start, _line(call, start, 240, attempt, '"status":"error","input_tokens":0,"output_tokens":0')
        start += 1500 + round(float(rng.exponential(3000)))
        attempt = 2
    usage = (
        f'"status":"ok","finish_reason":"stop","input_tokens":{call.input_tokens},"output_tokens":{call.output_tokens}'
    )
    if rng.random() < reviews.SHARE:
        scores = reviews.review(rng, call.task)
        both = ",".join(f'"{model}":{score}' for model, score in scores.items())
        usage += f',"score":{scores[MODEL]},"scores":{{{both}}}'
    usage += f',"output_messages":[{call.output.logged}]'
    yield start, _line(call, start, round(call.seconds * 1000), attempt, usage)


def _line(call: Call, start: int, duration: int, attempt: int, rest: str) -> str:
    agent, _, _, temperature = STEPS[call.task]
    when = datetime(START.year, START.month, START.day) + timedelta(milliseconds=start)
    return (
        f'"start_time":"{when.isoformat(timespec="milliseconds")}Z","duration_ms":{duration},'
        f'"provider_name":"openai","request_model":"{MODEL}","agent":"{agent}","task":"{call.task}",'
        f'"conversation_id":"{call.article}","request_id":"{call.step}","attempt":{attempt},'
        f'"process_id":"worker-{call.worker + 1}","temperature":{temperature},'
        f'"input_words":{sum(m.words for m in call.messages)},{rest},'
        f'"input_messages":[{",".join(m.logged for m in call.messages)}]}}\n'
    )


def _write(directory: Path, seed: int, lines: list[tuple[int, str]]) -> list[Path]:
    """One file a week; a `call_id` numbers the lines, and tells logs of different seeds apart."""
    lines.sort(key=lambda line: line[0])
    weeks: dict[int, list[str]] = {}  # number of the week -> its lines
    for number, (start, line) in enumerate(lines):
        week = weeks.setdefault(start // round(7 * DAY * 1000), [])
        week.append(f'{{"hindcast":1,"call_id":"call-{seed}-{number:06d}",{line}')
    paths = []
    for index, members in weeks.items():
        first = START + timedelta(days=7 * index)
        path = directory / f"pipeline-{first:%Y-%m-%d}.jsonl.zst"
        with path.open("wb") as file, zstandard.ZstdCompressor(level=3).stream_writer(file) as packed:
            for line in members:
                packed.write(line.encode())
        paths.append(path)
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the demo's log.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    for written in generate(options.directory, seed=options.seed):
        print(written)
