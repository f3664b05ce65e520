"""Lines of a log: numbers, offsets and bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.files import line_files


@given(
    st.lists(st.sampled_from([b"{}", b"\n", b" ", b"[1]\n", b"\n\n", b"\xef\xbb\xbf"]), max_size=12), st.integers(1, 9)
)
def test_lines_are_the_same_ones_whatever_is_copied_at_a_time(pieces: list[bytes], block: int) -> None:
    data = b"".join(pieces)
    expected = []
    offset = 5
    for number, line in enumerate(data.split(b"\n"), 1):
        content = line.removeprefix(line_files.BOM) if number == 1 else line
        if content.strip():
            expected.append((number, offset, content))
        offset += len(line) + 1
    assert [row[:3] for row in line_files.unread_rows(data, 5, 0, block=block)] == expected
