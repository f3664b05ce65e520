"""How one article is made by the four agents: the calls that follow from the way the pipeline is built.

Parameters (`Way`) are causes: how many agents run side by side, what they carry along, how often they go round. What
they cost follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from numpy.random import Generator

from ingest.contents.tokenizer import FRAME_TOKENS
from sample_logs import prompts
from sample_logs.texts import BULLETS, PAGE, Beat, Message, Text, fixed, join, message

WORKERS = 6
PRIMING_TOKENS = 3  # OpenAI cookbook, "How to count tokens", 2024-07


@dataclass(frozen=True)
class Way:
    """How the pipeline makes an article. Sizes are medians in tokens."""

    researchers: int  # agents that research the same brief side by side
    queries: int  # of each researcher, out of the plan of `query_plan` queries that all of them share
    query_plan: int
    results: float  # one query's search results
    pages: int  # that each researcher reads, out of the `page_pool` best ones
    page_pool: int
    page: float
    summary: float
    facts: float  # the fact table of one page
    outlines: int
    second_drafter: float  # chance that a parallel drafting agent picks up the same section
    questions: int  # that the reasoning step works through
    rounds: int  # of refinement
    changed: float  # chance that a round changed a section, so that the next one has something new to look at
    second_refiner: float  # chance that a parallel refinement agent picks up the same section in the same round
    citations: bool  # whether each section is checked against all notes and facts


BEFORE = Way(
    researchers=1, queries=2, query_plan=2, results=6600, pages=3, page_pool=3, page=6000, summary=335, facts=440,
    outlines=1, second_drafter=0.0, questions=1, rounds=1, changed=0.7, second_refiner=0.0, citations=False,
)  # fmt: skip
AFTER = replace(
    BEFORE, researchers=3, queries=3, query_plan=6, results=9800, pages=6, page_pool=14, page=9900, outlines=2,
    second_drafter=0.3, questions=4, rounds=3, second_refiner=0.35, citations=True,
)  # fmt: skip

# task -> (agent, median answer tokens, sigma of its logarithm, temperature)
STEPS: dict[str, tuple[str, float, float, float]] = {
    "source_ranking": ("research_agent", 560, 0.25, 0.0),
    "web_summary": ("research_agent", 0, 0.0, 0.0),
    "fact_extraction": ("research_agent", 0, 0.0, 0.0),
    "trend_digest": ("research_agent", 320, 0.25, 0.0),
    "outline": ("outline_agent", 900, 0.25, 0.2),
    "seo_brief": ("outline_agent", 450, 0.25, 0.0),
    "section_draft": ("drafting_agent", 1500, 0.30, 0.3),
    "complex_reasoning_analysis": ("drafting_agent", 900, 0.35, 0.2),
    "critique": ("refinement_agent", 480, 0.30, 0.0),
    "rewrite": ("refinement_agent", 1350, 0.20, 0.2),
    "grammar_check": ("refinement_agent", 1000, 0.10, 0.0),
    "citation_check": ("refinement_agent", 720, 0.25, 0.0),
}


@dataclass(slots=True)
class Call:
    """One successful call. `start` and `seconds` count from the start of the log; `step` is the pipeline step."""

    start: float
    seconds: float
    task: str
    step: str
    article: str
    worker: int
    messages: tuple[Message, ...]
    output: Message

    @property
    def end(self) -> float:
        return self.start + self.seconds

    @property
    def input_tokens(self) -> int:
        """The messages and the 3 tokens that the chat format puts before an answer."""
        return sum(m.tokens for m in self.messages) + PRIMING_TOKENS

    @property
    def output_tokens(self) -> int:
        """The answer without the frame that it has once it is a message of a later request."""
        return self.output.tokens - FRAME_TOKENS


@dataclass
class Research:
    """What the first half of the pipeline leaves for the second; a second run on the same topic asks it all again."""

    brief: Message
    notes: Message
    facts: list[Message]
    outline: Message
    calls: list[Call]
    start: float


class Prompts:
    """The fixed messages, with text for articles logged in full and hashed for the others."""

    def __init__(self) -> None:
        self.system = {
            (task, full): message("system", fixed(prompts.system_prompt(step[0], task)), "", full)
            for task, step in STEPS.items()
            for full in (True, False)
        }
        self.style = {full: message("user", fixed(prompts.style_guide()), "", full) for full in (True, False)}
        self.rubric = {full: message("user", fixed(prompts.rubric()), "", full) for full in (True, False)}


class Article:
    """One run of the pipeline on one brief."""

    def __init__(
        self, name: str, start: float, way: Way, rng: Generator, beat: Beat, fixed_prompts: Prompts, full: bool
    ) -> None:
        self.name, self.start, self.way, self.rng, self.beat = name, start, way, rng, beat
        self.prompts, self.full = fixed_prompts, full
        self.calls: list[Call] = []
        self.richness = float(rng.lognormal(0.0, 0.14))  # how much there is to find on this topic
        self.home = int(rng.integers(WORKERS))
        self._pieces = 0

    def run(self, earlier: Research | None = None) -> Research:
        """Fills `calls`; with `earlier`, research and outline repeat those requests word for word."""
        if earlier is None:
            research = self._research()
        else:
            research = earlier
            shift = self.start - earlier.start
            for call in earlier.calls:
                worker = (call.worker + self.home) % WORKERS
                again = replace(call, start=call.start + shift, article=self.name, worker=worker)
                self.calls.append(replace(again, step=f"{self.name}/{call.task}"))
        done = max(call.end for call in self.calls)
        self._refine(research, self._draft(research, done + 2))
        return research

    def _logged(self, role: str, text: Text) -> Message:
        self._pieces += 1
        return message(role, text, f"{self.name}/{self._pieces}", self.full)

    def _labelled(self, label: str, text: Text) -> Message:
        return self._logged("user", join([fixed(label), text], self.full))

    def _size(self, median: float, sigma: float) -> float:
        return median * float(self.rng.lognormal(0.0, sigma)) if sigma else median

    def _ask(
        self, at: float, task: str, worker: int, messages: Sequence[Message], answer: Text | None = None
    ) -> tuple[Call, Text]:
        """Sends one request at `at`; the answer is prose unless given."""
        _, median, sigma, _ = STEPS[task]
        if answer is None:
            answer = self.beat.draw(self.rng, self._size(median, sigma), self.full)
        output = self._logged("assistant", answer)
        seconds = float(self.rng.lognormal(0.0, 0.15)) * (0.8 + answer.tokens / 28)
        sent = (self.prompts.system[task, self.full], *messages)
        call = Call(at, seconds, task, f"{self.name}/{task}", self.name, worker % WORKERS, sent, output)
        self.calls.append(call)
        return call, answer

    def _again(self, call: Call, at: float, worker: int) -> Call:
        """The same request once more, by whichever agent did not know that it had been asked."""
        seconds = call.seconds * float(self.rng.lognormal(0.0, 0.15))
        repeat = replace(call, start=at, seconds=seconds, worker=worker % WORKERS)
        self.calls.append(repeat)
        return repeat

    def _research(self) -> Research:
        way, rng, full, beat = self.way, self.rng, self.full, self.beat
        brief = self._labelled("Article brief:", beat.draw(rng, 170, full))
        results = [
            self._logged("user", beat.results.draw(rng, self._size(way.results, 0.50), full))
            for _ in range(way.query_plan)
        ]
        pages = [
            self._logged("user", beat.draw(rng, self._size(way.page, 0.27), full, PAGE)) for _ in range(way.page_pool)
        ]
        asked: dict[tuple[str, int], tuple[Call, Text]] = {}
        read: list[list[int]] = []
        for researcher in range(way.researchers):
            at, worker = self.start + researcher * float(rng.uniform(10, 50)), self.home + researcher
            plan = [("source_ranking", int(q)) for q in rng.permutation(way.query_plan)[: way.queries]]
            chosen = sorted(int(p) for p in rng.permutation(way.page_pool)[: way.pages])
            read.append(chosen)
            plan += [(task, page) for page in chosen for task in ("web_summary", "fact_extraction")]
            for task, number in plan:
                if (task, number) in asked:
                    call = self._again(asked[task, number][0], at, worker)
                else:
                    messages = [brief, results[number] if task == "source_ranking" else pages[number]]
                    call, text = self._ask(at, task, worker, messages, self._finding(task))
                    asked[task, number] = call, text
                at = call.end + float(rng.uniform(1, 6))
        notes = []
        for researcher, chosen in enumerate(read):
            notes.append(fixed(f"Notes of researcher {researcher + 1}:"))
            notes += [asked["web_summary", page][1] for page in chosen]
        distinct = sorted({page for chosen in read for page in chosen})
        tables = [self._logged("user", asked["fact_extraction", page][1]) for page in distinct]
        carried = self._logged("user", join(notes, full))
        at = max(call.end for call in self.calls) + 2
        outline_request = [self.prompts.style[full], brief, carried]
        call, outline = self._ask(at, "outline", self.home, outline_request)
        for other in range(1, way.outlines):
            self._again(call, at + other * float(rng.uniform(35, 60)), self.home + other)
        phrases = self._logged("user", beat.keywords.draw(rng, 2400, full))
        plan_message = self._logged("user", outline)
        call, _ = self._ask(call.end + 3, "seo_brief", self.home, [brief, phrases, plan_message])
        for other in range(1, way.outlines):
            self._again(call, call.start + other * float(rng.uniform(20, 60)), self.home + other)
        return Research(brief, carried, tables, plan_message, list(self.calls), self.start)

    def _finding(self, task: str) -> Text | None:
        if task == "web_summary":
            size = self.richness * self._size(self.way.summary, 0.25)
            parts = [self.beat.draw(self.rng, size * 0.4, self.full)]
            return join([*parts, self.beat.draw(self.rng, size * 0.6, self.full, BULLETS)], self.full)
        if task == "fact_extraction":
            return self.beat.facts.draw(self.rng, self.richness * self._size(self.way.facts, 0.25), self.full)
        return None

    def _draft(self, research: Research, at: float) -> list[tuple[float, Text]]:
        """Reasoning, then the sections; returns each section's end time and first version."""
        rng, full = self.rng, self.full
        clock = at
        for _ in range(self.way.questions):
            question = self._labelled("Question to work through:", self.beat.draw(rng, 120, full))
            asked = [research.brief, research.notes, *research.facts, question]
            call, _ = self._ask(clock, "complex_reasoning_analysis", self.home, asked)
            clock = call.end + 2
        sections = []
        for number in range(int(rng.choice((4, 5, 6), p=(0.25, 0.5, 0.25)))):
            part = self._labelled("Section to write:", self.beat.draw(rng, 90, full))
            asked = [self.prompts.style[full], research.brief, research.outline, research.notes, part]
            call, text = self._ask(at + 4 * number, "section_draft", self.home + number, asked)
            if rng.random() < self.way.second_drafter:
                self._again(call, call.end + float(rng.uniform(2, 90)), self.home + number + 1)
            sections.append((max(call.end, clock), text))
        return sections

    def _refine(self, research: Research, sections: list[tuple[float, Text]]) -> None:
        for number, (ready, text) in enumerate(sections):
            at, worker, version = ready + 5, self.home + number, text
            last: list[Call] = []
            for turn in range(self.way.rounds):
                if turn and self.rng.random() >= self.way.changed:  # nothing new, and still all is asked again
                    for call in last:
                        at = self._again(call, at, worker).end + 3
                else:
                    last, version = self._round(research, version, at, worker)
                    at = last[-1].end + 3
                if self.rng.random() < self.way.second_refiner:
                    late = float(self.rng.uniform(15, 240))
                    for call in last:
                        late = self._again(call, at + late, worker + 1 + number % 2).end - at + 2
                at += float(self.rng.uniform(20, 120))

    def _round(self, research: Research, version: Text, at: float, worker: int) -> tuple[list[Call], Text]:
        """One round on one section: check citations, review, rewrite, correct; returns its calls and the new text."""
        style, rubric = self.prompts.style[self.full], self.prompts.rubric[self.full]
        section = self._logged("user", version)
        calls = []
        if self.way.citations:
            asked = [research.notes, *research.facts, section]
            call, _ = self._ask(at, "citation_check", worker, asked)
            calls.append(call)
            at = call.end + 1
        points = self.beat.draw(self.rng, self._size(*STEPS["critique"][1:3]), self.full, BULLETS)
        review, points = self._ask(at, "critique", worker, [rubric, research.brief, section], points)
        asked = [style, research.brief, research.outline, section, self._logged("user", points)]
        rewrite, text = self._ask(review.end + 1, "rewrite", worker, asked)
        grammar, _ = self._ask(rewrite.end + 1, "grammar_check", worker, [self._logged("user", text)], text)
        return [*calls, review, rewrite, grammar], text
