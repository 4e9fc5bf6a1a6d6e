"""Search mixed-precision and sparsity policies for a network, and pick from the measured front.

In Python: `paretune.tune` searches, `paretune.open_study` looks at a study, `paretune.measure`
measures models without a search. They are imported on first use, so that `import paretune` stays
light.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paretune.search.api import open_study, tune
    from paretune.search.measure import measure
    from paretune.search.study import Study

__all__ = ["Study", "measure", "open_study", "tune"]

_PLACES = {
    "Study": "paretune.search.study",
    "measure": "paretune.search.measure",
    "open_study": "paretune.search.api",
    "tune": "paretune.search.api",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'paretune' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
