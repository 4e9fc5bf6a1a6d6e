from paretune.search.backends.onnx.recent import Recent


def test_what_was_not_used_for_longest_makes_room() -> None:
    made: list[str] = []

    def make(key: str) -> bytes:
        made.append(key)
        return bytes(40)

    recent: Recent[bytes] = Recent(len, limit=100)
    for key in ("a", "b", "a", "c", "a", "b"):
        recent.get(key, lambda key=key: make(key))  # type: ignore[misc]
    assert made == ["a", "b", "c", "b"]


def test_one_value_is_kept_however_large() -> None:
    recent: Recent[bytes] = Recent(len, limit=10)
    first = recent.get("a", lambda: bytes(100))
    assert recent.get("a", lambda: bytes(1)) is first
