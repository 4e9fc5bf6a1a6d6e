"""Versions of what Paretune writes and reads again."""

from paretune.errors import UserError


def require_version(what: str, found: object, known: int) -> None:
    """Refuse what another version of Paretune wrote.

    Args:
        what: begins the message.

    Raises:
        UserError: says what to do.
    """
    if found == known:
        return
    newer = isinstance(found, int) and found > known
    remedy = (
        ": a newer Paretune wrote it; pip install --upgrade paretune, or run it where that one is"
        if newer
        else ""
    )
    raise UserError(f"{what} has version {found!r}, this Paretune reads {known}{remedy}")
