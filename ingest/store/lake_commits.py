"""The commits of a lake: which parts count. A part counts once a commit names it.

A commit is an object that is created once: of two writers that finish together one gets the number, the other looks
again. Every 32nd names all parts, the others what they add and remove, so that a reader needs few of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from ingest.errors import StoreError
from ingest.places.place import Place, require_create
from ingest.store.failures import newer_lake

LAYOUT = 1
WHOLE_EVERY = 32
FOLDER = "commits/"
BUCKETS = 1
MOST_BUCKETS = 1 << 16


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """An immutable object of a lake: `kind` is calls, contents, keys or identities."""

    kind: str
    name: str
    rows: int
    bytes: int = 0
    slot: int = 0  # of identities: those whose key begins with these bits
    slots: int = 1


class Commit(msgspec.Struct, omit_defaults=True):
    """The document of a commit. `keep` is what is kept of texts (text, hashes, none; empty while nothing was read)."""

    layout: int
    number: int
    whole: int  # the newest commit up to this one that names all parts
    buckets: int
    side: str  # the object with the small tables
    keep: str = ""
    key: str = ""  # fingerprint of the key of hashed texts
    run: str = ""  # what made it, so that a writer whose answer got lost finds its own commit
    calls: int = 0  # next free numbers
    contents: int = 0
    keys: int = 0
    parts: list[Part] = []
    removed: list[str] = []


@dataclass
class LakeState:
    """What a lake holds as of its newest commit."""

    commit: Commit
    parts: dict[str, Part] = field(default_factory=dict)

    def of(self, kind: str) -> list[Part]:
        """The parts of a kind, in the order in which they were added."""
        return [part for part in self.parts.values() if part.kind == kind]


def newest(place: Place, known: LakeState | None = None) -> LakeState | None:
    """The state as of the newest commit; None where there is none. What is `known` is not read again."""
    names = sorted(one.name for one in place.list(FOLDER) if one.name.endswith(".json"))
    if not names:
        return None
    last = len(names) - 1
    if names[last] != name_of(last):
        raise StoreError(
            "commits of the lake are missing",
            where=place.address,
            remedy="See: hindcast store check --store " + place.address,
        )
    if known is not None and known.commit.number == last:
        return known
    commit = _read(place, last)
    start = commit.whole
    parts: dict[str, Part] = {}
    if known is not None and start <= known.commit.number:
        parts, start = dict(known.parts), known.commit.number + 1
    for number in range(start, last + 1):
        one = commit if number == last else _read(place, number)
        if one.whole == number:
            parts = {}
        for name in one.removed:
            parts.pop(name, None)
        parts |= {part.name: part for part in one.parts}
    return LakeState(commit, parts)


def add(place: Place, state: LakeState | None, commit: Commit) -> LakeState | None:
    """Create the commit after `state`; None where another writer has made one of that number meanwhile."""
    parts = {} if state is None else dict(state.parts)
    for name in commit.removed:
        parts.pop(name, None)
    parts |= {part.name: part for part in commit.parts}
    written = commit
    if commit.number % WHOLE_EVERY == 0:
        written = msgspec.structs.replace(commit, whole=commit.number, parts=list(parts.values()), removed=[])
    if not place.create(name_of(commit.number), msgspec.json.encode(written)):
        found = _read(place, commit.number)
        if not commit.run or found.run != commit.run:
            return None
    return LakeState(written, parts)


def following(state: LakeState, **changes: object) -> Commit:
    """A commit after `state` that keeps what is not changed."""
    before = state.commit
    rest = {"parts": [], "removed": [], "run": "", **changes}
    return msgspec.structs.replace(before, number=before.number + 1, whole=before.whole, **rest)


def first(place: Place, side: str, *, buckets: int = BUCKETS) -> LakeState | None:
    """Make a lake: its commit 0. None where another writer was faster. Raises StoreError where two could be."""
    require_create(place)
    return add(place, None, Commit(LAYOUT, 0, 0, buckets, side))


def name_of(number: int) -> str:
    """The object of a commit."""
    return f"{FOLDER}{number:012}.json"


def _read(place: Place, number: int) -> Commit:
    try:
        found = msgspec.json.decode(place.read(name_of(number)), type=Commit)
    except (msgspec.MsgspecError, FileNotFoundError) as error:
        raise StoreError("a commit of the lake is damaged", where=place.address + name_of(number)) from error
    if found.layout > LAYOUT:
        raise newer_lake(place.address, found.layout)
    return found
