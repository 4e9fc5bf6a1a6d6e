"""Frames round trip, whatever the pipe does to them."""

import io

from hypothesis import given
from hypothesis import strategies as st

from paretune.evaluators.processes.frames import FrameKind, read_frame, write_frame

FRAMES = st.lists(
    st.tuples(st.sampled_from(FrameKind), st.integers(0, 2**32 - 1), st.binary(max_size=100))
)


class _Drip:
    """A pipe that takes and gives at most so many bytes at a time."""

    def __init__(self, most: int) -> None:
        self._content = b""
        self._most = most

    def write(self, data: memoryview) -> int:
        part = bytes(data[: self._most])
        self._content += part
        return len(part)

    def flush(self) -> None:
        pass

    def read(self, size: int) -> bytes:
        cut = min(size, self._most)
        part, self._content = self._content[:cut], self._content[cut:]
        return part


@given(FRAMES, st.integers(1, 30))
def test_frames_round_trip(frames: list[tuple[FrameKind, int, bytes]], most: int) -> None:
    pipe = _Drip(most)
    for frame in frames:
        write_frame(pipe, *frame)
    assert [read_frame(pipe) for _ in frames] == frames
    assert read_frame(pipe) is None


@given(st.binary(max_size=20), st.data())
def test_a_frame_that_is_cut_off_is_none(payload: bytes, data: st.DataObject) -> None:
    whole = io.BytesIO()
    write_frame(whole, FrameKind.ANSWER, 1, payload)
    cut = data.draw(st.integers(0, len(whole.getvalue()) - 1))
    assert read_frame(io.BytesIO(whole.getvalue()[:cut])) is None
