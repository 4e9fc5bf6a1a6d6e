"""The projection of a study to MLflow: never the truth, rebuilt as often as one likes."""

from paretune.search.tracking.client import check_reachable
from paretune.search.tracking.spelling import default_alias
from paretune.search.tracking.sync import register_trial, sync
from paretune.search.tracking.tracker import MlflowTracker

__all__ = ["MlflowTracker", "check_reachable", "default_alias", "register_trial", "sync"]
