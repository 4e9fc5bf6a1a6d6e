"""Where studies are kept instead of in a folder: the URL of a database."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from paretune.errors import UserError


@dataclass(frozen=True, repr=False)
class StorageUrl:
    """The URL of a PostgreSQL database. As text it never shows a password.

    Attributes:
        full: with the password, if there is one.
    """

    full: str

    @staticmethod
    def parse(text: str) -> "StorageUrl":
        """Read `postgresql://user@host:port/database`.

        Whatever else libpq takes may follow: `?sslmode=require`. What is missing comes from its
        environment variables and files, such as `PGPASSWORD` or `~/.pgpass`.

        Raises:
            UserError: it is something else.
        """
        url = StorageUrl(text)
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:
            raise _unreadable(url) from None
        database = parts.path.removeprefix("/")
        if parts.scheme != "postgresql" or not database or "/" in database or parts.fragment:
            raise _unreadable(url)
        return url

    def same_place(self, other: "StorageUrl") -> bool:
        """Whether both are the same but for the password."""
        return _without_password(str(self)) == _without_password(str(other))

    def __str__(self) -> str:
        # A password may hold anything up to the last @, also what an URL should not.
        masked = re.sub(r"(://[^:@/?#]*):.*@", r"\1:***@", self.full, flags=re.DOTALL)
        return re.sub(r"(?i)(password=)[^&]*", r"\1***", masked)

    __repr__ = __str__


def _without_password(masked: str) -> str:
    return masked.replace(":***@", "@")


def _unreadable(url: StorageUrl) -> UserError:
    return UserError(
        f"cannot read the storage '{url}'; allowed is postgresql://user@host:port/database"
    )
