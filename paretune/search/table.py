"""Tables of a study: its front and all its trials, as pandas DataFrames.

Pandas is imported on first use: it takes a third of a second.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paretune.evaluators import Measurement, Metric
from paretune.evaluators.metric import at, extended
from paretune.search import text
from paretune.search.front import front
from paretune.search.info import StudyInfo
from paretune.search.landmark import LANDMARKS, reference
from paretune.search.standing import standings
from paretune.search.trial import Trial
from paretune.search.view import front_numbers

if TYPE_CHECKING:
    import pandas as pd


def front_table(info: StudyInfo, trials: Sequence[Trial]) -> "pd.DataFrame":
    """One row a front member, best first objective first.

    Columns: `trial`; per metric `<metric>`, `<metric>_low`, `<metric>_high` (95% interval, empty
    for exact figures) and, where it has a unit, `<stem>_ratio` to the fp32 model; `confirmed`;
    the same figures on the test split as `test_<metric>` ...; `vs_fp32` and `vs_uniform_int8`, a
    `Relation` (`better`, `tie`, `trade-off`, `worse`), empty for what is compared with itself or
    was not measured; `ties`, the members that the noise does not tell it from (JSON list);
    `flags`, such as `latency_ms: disturbed`, empty where there are none; `summary`; `policy`
    (JSON). With several devices the names end in theirs: `latency_ms_low@pi`.
    """
    rows, compared = front(trials, info.objectives), reference(trials)
    standing = standings(info, trials, rows)
    ratios = [metric for metric in ordered(info) if has_ratio(info, metric)]
    records = []
    for trial in rows:
        record: dict[str, Any] = {"trial": trial.number}
        record |= _figures(info, trial.figures, "")
        for metric in ratios:
            record[extended(text.stem(metric), "_ratio")] = ratio(trial, compared, metric)
        record["confirmed"] = bool(trial.confirmed)
        record |= _figures(info, trial.test, "test_")
        versus = standing[trial.number].versus
        record |= {versus_column(name): str(how) for name, how in versus.items()}
        record["ties"] = json.dumps(standing[trial.number].ties)
        record["flags"] = _flags(info, trial.figures, trial.test)
        record["summary"] = text.summary(trial.policy)
        record["policy"] = trial.policy.to_json()
        records.append(record)
    columns = [
        "trial",
        *_columns(info, ""),
        *(extended(text.stem(metric), "_ratio") for metric in ratios),
        "confirmed",
        *_columns(info, "test_"),
        *map(versus_column, LANDMARKS),
        "ties",
        "flags",
        "summary",
        "policy",
    ]
    return _frame(records, columns)


def trials_table(info: StudyInfo, trials: Sequence[Trial]) -> "pd.DataFrame":
    """One row a trial, in the order of their numbers.

    Columns: `trial`, `status`, `on_front` and, with several devices, `on_front@<device>`;
    `samples`, how many of the split's the search has run, empty where that is not known; the
    figures as taken during the search, the confirmed ones as `confirmed_<metric>` ...,
    `test_<metric>` ..., `flags` of the confirmed ones if there are any, `violations`, `reason`,
    `artifact_sha256`, `seconds`, `seconds_by_part` (JSON), `finished_at` (UTC),
    `summary`, `policy` (JSON).
    """
    import pandas as pd

    members = {at("on_front", device): n for device, n in front_numbers(info, trials).items()}
    records = [
        {
            "trial": trial.number,
            "status": trial.status.value,
            **{column: trial.number in found for column, found in members.items()},
            "samples": trial.samples,
            **_figures(info, trial.measurements, ""),
            **_figures(info, trial.confirmed, "confirmed_"),
            **_figures(info, trial.test, "test_"),
            "flags": _flags(info, trial.figures, trial.test),
            "violations": "; ".join(trial.violations),
            "reason": trial.reason,
            "artifact_sha256": trial.artifact_sha256,
            "seconds": trial.duration,
            "seconds_by_part": json.dumps(dict(trial.seconds)),
            "finished_at": pd.Timestamp(trial.finished_at, unit="s", tz="UTC"),
            "summary": text.summary(trial.policy),
            "policy": trial.policy.to_json(),
        }
        for trial in sorted(trials, key=lambda trial: trial.number)
    ]
    columns = ["trial", "status", *members, "samples"]
    columns += [c for prefix in ("", "confirmed_", "test_") for c in _columns(info, prefix)]
    columns += ["flags", "violations", "reason", "artifact_sha256", "seconds", "seconds_by_part"]
    columns += ["finished_at", "summary", "policy"]
    return _frame(records, columns)


def to_json(table: "pd.DataFrame") -> str:
    """A table as a JSON list of rows: all digits, null where empty, policies and ties parsed."""
    import pandas as pd

    rows = [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in table.to_dict(orient="records")
    ]
    for row in rows:
        row |= {name: json.loads(str(row[name])) for name in ("policy", "ties") if name in row}
    return json.dumps(rows, indent=2, default=str)


def ordered(info: StudyInfo) -> list[Metric]:
    """All metrics, the objectives first."""
    return list(dict.fromkeys((*info.objectives, *info.metrics)))


def has_ratio(info: StudyInfo, metric: Metric) -> bool:
    """Whether a ratio to fp32 says something: it has a unit, and is not measured as a ratio too."""
    measured = {m.name for m in info.metrics}
    return bool(metric.unit) and extended(text.stem(metric), "_ratio") not in measured


def versus_column(landmark: str) -> str:
    """Where a table tells how trials stand to a landmark: `vs_uniform_int8`."""
    return f"vs_{landmark.replace(' ', '_')}"


def ratio(trial: Trial, compared: Trial | None, metric: Metric) -> float:
    """The trial's figure over that of `compared`, NaN where there is none."""
    if compared is None or not (base := compared.figures[metric.name].value):
        return math.nan
    return trial.figures[metric.name].value / base


def _columns(info: StudyInfo, prefix: str) -> list[str]:
    return [
        f"{prefix}{extended(metric.name, suffix)}"
        for metric in ordered(info)
        for suffix in ("", "_low", "_high")
    ]


def _figures(info: StudyInfo, measured: Mapping[str, Measurement], prefix: str) -> dict[str, float]:
    figures: dict[str, float] = {}
    for metric in ordered(info):
        found = measured.get(metric.name)
        sides = (None, None, None) if found is None else (found.value, found.low, found.high)
        for suffix, side in zip(("", "_low", "_high"), sides, strict=True):
            figures[f"{prefix}{extended(metric.name, suffix)}"] = math.nan if side is None else side
    return figures


def _frame(records: Sequence[Mapping[str, Any]], columns: list[str]) -> "pd.DataFrame":
    import pandas as pd

    table = pd.DataFrame.from_records(records, columns=columns)
    # A column that is all empty would have no type.
    texts = [name for name in ("flags", *map(versus_column, LANDMARKS)) if name in columns]
    return table.astype(dict.fromkeys(texts, pd.StringDtype(na_value=math.nan)))


def _flags(
    info: StudyInfo, figures: Mapping[str, Measurement], test: Mapping[str, Measurement]
) -> str | None:
    metrics = ordered(info)
    return "; ".join([*text.flags(metrics, figures), *text.flags(metrics, test, "test_")]) or None
