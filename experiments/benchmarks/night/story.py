"""What is told of a night."""

from dataclasses import dataclass


@dataclass
class Story:
    """What happened.

    Attributes:
        seconds: that the search took.
        lost_jobs: that the killed worker was at.
        mlflow_away_s: how long its server was away.
        complete: the search itself told MLflow everything in the end.
        printed: by the search.
    """

    seconds: float = 0.0
    lost_jobs: int = 0
    mlflow_away_s: float = 0.0
    complete: bool = True
    printed: str = ""
