"""The projection of a study to MLflow: never the truth, rebuilt as often as one likes."""

from paretune.search.tracking.client import check_reachable
from paretune.search.tracking.sync import register_trial, sync
from paretune.search.tracking.tracker import MlflowTracker

__all__ = ["MlflowTracker", "check_reachable", "register_trial", "sync"]
