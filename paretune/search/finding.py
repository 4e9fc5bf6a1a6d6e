"""Finding a study: by its folder, or by the config file that made it."""

from pathlib import Path

from paretune.search.location import require_study, settle
from paretune.search.store import require_writable


def find_study(path: Path) -> Path:
    """The folder of a study, given as this folder or as the config file that made it.

    Raises:
        UserError: there is no study.
    """
    if path.is_dir() or path.suffix not in (".yaml", ".yml"):
        require_study(path)
        return path
    # Takes long to import.
    from paretune.search.config import load_config

    config = load_config(path)
    if config.storage is not None:
        # Another machine may have begun it.
        require_writable(config.output)
        settle(config.output, config.storage, config.name, config.base)
    return config.output
