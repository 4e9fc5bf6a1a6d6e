"""The URL of a storage: what is allowed, and that no password is ever shown."""

import pytest

from paretune.errors import UserError
from paretune.search.storage_url import StorageUrl


@pytest.mark.parametrize(
    ("full", "shown"),
    [
        ("postgresql://me@host:5432/studies", "postgresql://me@host:5432/studies"),
        ("postgresql://host/studies", "postgresql://host/studies"),
        ("postgresql:///studies?host=/run/postgresql", None),
        ("postgresql://me:secret@host/studies", "postgresql://me:***@host/studies"),
        ("postgresql://me:se:c@r/e?t@host/studies", "postgresql://me:***@host/studies"),
        (
            "postgresql://me@host/studies?password=secret&sslmode=require",
            "postgresql://me@host/studies?password=***&sslmode=require",
        ),
    ],
)
def test_text_without_a_password(full: str, shown: str | None) -> None:
    url = StorageUrl(full)
    assert f"{url}" == repr(url) == (shown or full)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "runs/digits",
        "sqlite:///studies.db",
        "postgres://me:secret@host/studies",
        "postgresql://me:secret@host",
        "postgresql://me:secret@host/",
        "postgresql://me:secret@host/a/b",
        "postgresql://me:secret@host:port/studies",
        "postgresql://me:secret@host/studies#there",
        "postgresql://me:secret@[host/studies",
    ],
)
def test_what_is_no_storage(text: str) -> None:
    with pytest.raises(UserError, match=r"allowed is postgresql://user@host") as caught:
        StorageUrl.parse(text)
    assert "secret" not in str(caught.value)


def test_a_place_is_the_same_whatever_the_password() -> None:
    one, other = StorageUrl("postgresql://me:a@host/x"), StorageUrl("postgresql://me@host/x")
    assert one.same_place(other)
    assert not one.same_place(StorageUrl("postgresql://me:a@host/y"))
