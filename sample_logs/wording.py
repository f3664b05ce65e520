"""Words of the demo's made-up content agency: six subject areas, sentence frames, and data records.

Every sentence is free of a full stop and ends in a letter, so that texts can be joined without changing how their
parts are tokenised (see `sample_logs.texts`). All hosts are under `.example`; no person or company is named.
"""

from __future__ import annotations

import json
from typing import Any

from numpy.random import Generator

# subject area -> (subjects, objects, places); plural subjects keep the frames grammatical
BEATS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "heat-pumps": (
        ("older heat pumps", "ground source systems", "air source units", "home installers", "energy advisers",
         "retrofit teams", "apartment owners", "hybrid boilers", "smart thermostats", "insulated homes"),
        ("the winter electricity bill", "the first heating season", "radiator sizing", "the hot water cycle",
         "the cost of a defrost", "the noise limit at night", "the upfront price of a retrofit",
         "the seasonal performance factor", "the length of the waiting list", "the comfort of upper floors"),
        ("coastal towns", "mountain villages", "terraced streets", "new suburbs", "northern regions", "rented homes"),
    ),
    "city-cycling": (
        ("cargo bikes", "protected lanes", "school commuters", "bike share operators", "delivery riders",
         "city planners", "traffic counters", "secure parking hubs", "electric bicycles", "weekend riders"),
        ("the morning commute", "short car trips", "junction safety", "the demand for kerb space",
         "the maintenance budget", "the length of a typical trip", "footfall in shopping streets",
         "the share of winter riders", "theft at train stations", "the speed of the last mile"),
        ("dense centres", "river crossings", "university districts", "hilly quarters", "outer boroughs",
         "port cities"),
    ),
    "coffee-roasting": (
        ("small roasters", "washed coffees", "natural lots", "home brewers", "green buyers", "cupping panels",
         "drum roasters", "cafe owners", "light roasts", "storage silos"),
        ("the sweetness of the cup", "the first crack", "the freight cost per bag", "the moisture of a green lot",
         "the shelf life of a blend", "the evenness of development", "the price of a flat white",
         "the acidity at the finish", "the yield of a batch", "the energy used per kilogram"),
        ("high altitude farms", "tasting rooms", "port warehouses", "shared roasteries", "office kitchens",
         "training labs"),
    ),
    "home-batteries": (
        ("lithium packs", "rooftop arrays", "grid operators", "inverter makers", "night tariffs", "virtual plants",
         "off grid cabins", "fire inspectors", "second life cells", "monitoring apps"),
        ("the evening peak", "the payback period", "the depth of discharge", "the export limit", "the warranty claim",
         "the charging window", "the insurance premium", "the share of solar kept at home",
         "the risk of an outage", "the capacity after ten years"),
        ("sunny plains", "islands", "cold garages", "multi family buildings", "farm sheds", "windy coasts"),
    ),
    "remote-teams": (
        ("distributed teams", "written updates", "team leads", "new hires", "meeting free days", "shared documents",
         "support rotas", "design reviews", "time zone overlaps", "onboarding buddies"),
        ("the pace of decisions", "the number of meetings", "the time to a first contribution",
         "the load on senior staff", "the quality of handovers", "trust between offices",
         "the cost of interruptions", "the length of a release cycle", "retention in the first year",
         "the reach of a good memo"),
        ("small agencies", "public bodies", "growing startups", "research groups", "volunteer projects",
         "support centres"),
    ),
    "balcony-gardens": (
        ("container gardens", "drip lines", "compost bins", "pollinator mixes", "dwarf tomatoes", "shade plants",
         "self watering pots", "community plots", "salad trays", "rain barrels"),
        ("the harvest per square metre", "water use in a hot week", "the weight on a railing", "soil temperature",
         "the number of pollinators", "the cost of a first season", "root growth in small pots",
         "the spread of mildew", "the taste of early fruit", "the work of a busy morning"),
        ("north facing flats", "windy rooftops", "shared courtyards", "school yards", "rented balconies",
         "narrow terraces"),
    ),
}  # fmt: skip
VERBS = ("improve", "change", "reduce", "raise", "stabilise", "affect", "double", "delay", "explain", "limit")
SOURCES = ("a regional survey", "an independent test lab", "a trade association", "a two year field study",
           "the local statistics office", "a reader poll", "a university paper", "an open data portal")  # fmt: skip
CONTEXTS = ("when demand is high", "once the first month is over", "although the sample is small",
            "as long as maintenance is regular", "which earlier guides did not mention", "even at a lower budget",
            "if the basics are done well", "because the rules changed last year")  # fmt: skip
AUDIENCES = ("first time buyers", "experienced owners", "local officials", "small firms", "families", "sceptics")
FRAMES = (
    "{subject} {verb} {object} {context}",
    "in {place}, {subject} {verb} {object} by about {number} percent",
    "according to {source}, {subject} {verb} {object} {context}",
    "{number} percent of {audience} report that {subject} {verb} {object}",
    "{source} found that in {place} {subject} {verb} {object} {context}",
    "for {audience}, the question is whether {subject} {verb} {object} or merely shift it elsewhere",
    "a closer look at {object} shows why {subject} matter in {place}, {context}",
    "where {subject} are compared over {number} weeks, they {verb} {object} less than {audience} expect",
)


def sentences(rng: Generator, beat: str, count: int) -> list[str]:
    """`count` different sentences about `beat`, capitalised, without the full stop."""
    subjects, objects, places = BEATS[beat]
    pools = {"subject": subjects, "object": objects, "place": places, "verb": VERBS, "source": SOURCES,
             "context": CONTEXTS, "audience": AUDIENCES}  # fmt: skip
    found: dict[str, None] = {}
    while len(found) < count:
        words: dict[str, Any] = {name: pool[rng.integers(len(pool))] for name, pool in pools.items()}
        frame = FRAMES[rng.integers(len(FRAMES))]
        text = frame.format(number=int(rng.integers(4, 90)), **words)
        found[text[0].upper() + text[1:]] = None
    return list(found)


def _pick(rng: Generator, pool: tuple[str, ...]) -> str:
    return pool[rng.integers(len(pool))]


def search_results(rng: Generator, beat: str, lines: list[str], count: int) -> list[dict[str, Any]]:
    """Hits of a search tool: title, address, snippet and ranking signals."""
    subjects, _, places = BEATS[beat]
    out = []
    for line in lines[:count]:
        subject, place = _pick(rng, subjects), _pick(rng, places)
        slug = f"{subject} in {place}".replace(" ", "-")
        out.append({
            "title": f"{subject.capitalize()} in {place}: what the numbers say",
            "url": f"https://{beat}.example/{rng.integers(2019, 2024)}/{slug}",
            "snippet": f"{line}.",
            "published": f"{rng.integers(2019, 2024)}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}",
            "signals": {"authority": int(rng.integers(1, 100)), "freshness": int(rng.integers(1, 100)),
                        "language": "en", "paywalled": bool(rng.random() < 0.2)},
        })  # fmt: skip
    return out


def facts(rng: Generator, beat: str, lines: list[str], count: int) -> list[dict[str, Any]]:
    """Claims taken from a page, each with where it came from and how sure the extractor was."""
    out = []
    for line in lines[:count]:
        out.append({
            "claim": line,
            "source": {"url": f"https://{beat}.example/p/{rng.integers(100, 1000)}", "section": int(rng.integers(9))},
            "kind": _pick(rng, ("measurement", "comparison", "opinion", "definition")),
            "confidence": int(rng.integers(50, 100)) / 100,
            "verified": bool(rng.random() < 0.5),
        })  # fmt: skip
    return out


def keywords(rng: Generator, beat: str, count: int) -> list[dict[str, Any]]:
    """Search phrases with volume and difficulty, as a keyword tool returns them."""
    subjects, objects, _ = BEATS[beat]
    out: list[dict[str, Any]] = []
    for _ in range(count):
        searches, difficulty = 10 * int(rng.integers(10, 900)), int(rng.integers(1, 100))
        intent = _pick(rng, ("informational", "commercial", "local"))
        phrase = f"{_pick(rng, subjects)} {_pick(rng, objects)}"
        out.append({"keyword": phrase, "monthly_searches": searches, "difficulty": difficulty, "intent": intent})
    return out


def pretty(record: dict[str, Any]) -> str:
    """One element of a JSON array, indented as a careless tool prints it."""
    return "    " + json.dumps(record, indent=4).replace("\n", "\n    ")
