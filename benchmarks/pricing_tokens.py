"""Count the tokens of 50 MB of distinct text: the [fast] extra against tiktoken, one thread each, same token ids.

The text is English-like words with JSON and code among them, from a seed. Timed: encoding; setting up is shown apart.
"""

from __future__ import annotations

import os
import random
import time

from ingest.contents.tokenizer import encoding, fastokens_encoder

MEGABYTES = int(os.environ.get("HINDCAST_BENCH_TEXT_MB", "50"))


def texts(megabytes: int) -> list[str]:
    """Documents of about 3 KB."""
    rng = random.Random(11)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(rng.choices(letters, weights=range(26, 0, -1), k=rng.randrange(2, 11))) for _ in range(20_000)]
    weights = [1 / (rank + 10) for rank in range(len(words))]
    found, size = [], 0
    while size < megabytes * 1_000_000:
        body = " ".join(rng.choices(words, weights, k=400))
        pick = len(found) % 5
        if pick == 3:
            body = "{" + ", ".join(f'"{word}": {rng.randrange(10**6)}' for word in body.split()[:200]) + "}"
        elif pick == 4:
            body = "\n".join(f"    {word} = {word}({rng.randrange(99)})" for word in body.split()[:120])
        found.append(body)
        size += len(body)
    return found


def main() -> None:
    documents = texts(MEGABYTES)
    size = sum(len(text.encode()) for text in documents) / 1e6
    for name in ("o200k_base",):
        start = time.perf_counter()
        reference = encoding(name)
        reference.encode_ordinary("warm")
        print(f"tiktoken ready after {time.perf_counter() - start:.1f} s")
        start = time.process_time()
        expected = sum(len(reference.encode_ordinary(text)) for text in documents)
        slow = time.process_time() - start
        print(f"tiktoken {name}: {size / slow:.1f} MB per CPU second")
        start = time.perf_counter()
        encode = fastokens_encoder(name)
        if encode is None:
            print("the [fast] extra is not installed: pip install 'llm-hindcast[fast]'")
            return
        encode("warm")
        print(f"fastokens ready after {time.perf_counter() - start:.1f} s")
        start = time.process_time()
        found = sum(len(encode(text)) for text in documents)
        quick = time.process_time() - start
        same = "the same count" if found == expected else f"OTHER COUNT: {found} instead of {expected}"
        print(f"fastokens {name}: {size / quick:.1f} MB per CPU second, {slow / quick:.1f}x, {same}")


if __name__ == "__main__":
    main()
