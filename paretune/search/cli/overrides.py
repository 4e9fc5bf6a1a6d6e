"""Options of the command line that stand in for keys of the config."""

from pathlib import Path
from typing import Any

from paretune.search.budget import parse_budget
from paretune.search.cluster.address import ClusterSpec
from paretune.search.config import Config, SearchSection
from paretune.search.storage_url import StorageUrl
from paretune.validation import parse_options


def overridden(
    config: Config,
    *,
    budget: str | None = None,
    trials: int | None = None,
    sampler: str | None = None,
    seed: int | None = None,
    racing: bool | None = None,
    cluster: str | None = None,
    output: str | None = None,
    storage: str | None = None,
    no_mlflow: bool = False,
) -> Config:
    """The config with these keys replaced; None leaves them.

    Args:
        budget: replaces both `search.trials` and `search.time`.

    Raises:
        UserError: the budget, the cluster or the storage cannot be read, or a number is too large.
    """
    search: dict[str, Any] = {}
    if budget is not None:
        parsed = parse_budget(budget)
        search |= {"trials": parsed.trials, "time": parsed.seconds}
    named = {"trials": trials, "sampler": sampler, "seed": seed, "racing": racing}
    search |= {key: value for key, value in named.items() if value is not None}
    if cluster is not None:
        search["cluster"] = ClusterSpec.parse(cluster)
    given = {**dict(config.search), **search}
    update: dict[str, Any] = {"search": parse_options(SearchSection, given, "the options")}
    if output is not None:
        update["output"] = Path(output)
    if storage is not None:
        update["storage"] = StorageUrl.parse(storage)
    if no_mlflow:
        update["tracking"] = config.tracking.model_copy(update={"enabled": False})
    return config.model_copy(update=update)
