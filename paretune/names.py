"""Unknown names: most are typing mistakes, so the message shows the nearest known one."""

import difflib
from collections.abc import Iterable


def hint(name: str, known: Iterable[str]) -> str:
    """`; nearest is 'x'`, or nothing where no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; nearest is '{near[0]}'" if near else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """`; nearest is 'x'; allowed are x, y`: the end of a message about an unknown name."""
    listed = list(known)
    return f"{hint(name, listed)}; allowed are {', '.join(listed) or 'none'}"
