"""The report on a pick: what was picked and why, in one page of Markdown."""

from collections.abc import Mapping, Sequence

from paretune.evaluators import Measurement, Metric
from paretune.evaluators.signature import ModelInput
from paretune.search import text
from paretune.search.certainty import EXPLAINED
from paretune.search.front import front
from paretune.search.info import StudyInfo
from paretune.search.landmark import landmarks
from paretune.search.racing import summary
from paretune.search.rule import Rule
from paretune.search.standing import standings
from paretune.search.table import ordered
from paretune.search.trial import Trial
from paretune.search.turnover import turnover


def report(
    info: StudyInfo,
    trials: Sequence[Trial],
    picked: Trial,
    rule: Rule,
    inputs: Sequence[ModelInput],
    repeated: Sequence[str],
) -> str:
    """Markdown.

    Args:
        info, trials: of the study, or of its `view` from one device.
        inputs: of the written model.
        repeated: names of the metrics that the written file repeated to the last digit.
    """
    members = {member.number for member in front(trials, info.objectives)}
    place = "a member of the front" if picked.number in members else "not on the front"
    source = (
        "measured again after the search, on the whole search split"
        if picked.confirmed
        else "as taken during the search, not confirmed"
    )
    sections = [
        f"# {info.name}: trial {picked.number}",
        f"Picked: {rule}. It is {place} of {len(members)} out of {len(trials)} trials.",
        f"Policy: {text.summary(picked.policy)}.",
        *filter(
            None, (_standing(info, trials, picked), str(turnover(info, trials)), summary(trials))
        ),
        "## Figures",
        f"Search figures are {source}; ± is a 95% interval. Test figures were taken once, on data"
        " that chose nothing.",
        _figures(info, trials, picked),
        *_doubts(info, picked),
        *_violations(picked),
        "## Conditions",
        _conditions(info, picked),
        "## Verified",
        f"`model.onnx` has the SHA-256 of the model that was measured,\n`{picked.artifact_sha256}`."
        + (
            f"\nLoaded afresh, it repeats {', '.join(repeated)} to the last digit."
            if repeated
            else ""
        ),
        "## Use",
        _usage(inputs),
        "## Policy by layer",
        _policy(picked),
    ]
    return "\n\n".join(sections) + "\n"


def _figures(info: StudyInfo, trials: Sequence[Trial], picked: Trial) -> str:
    marks = {k: v for k, v in landmarks(trials).items() if v.number != picked.number}
    shown = {f"trial {picked.number}": picked} | {
        f"{name} (trial {mark.number})": mark for name, mark in marks.items()
    }
    columns = [f"{name}: {split}" for name in shown for split in ("search", "test")]
    lines = [
        "| metric | " + " | ".join(columns) + " |",
        "| --- |" + " ---: |" * len(columns),
    ]
    for metric in ordered(info):
        unit = text.scale(metric, [t.figures[metric.name].value for t in shown.values()])
        cells = [
            _cell(measured, metric, unit)
            for trial in shown.values()
            for measured in (trial.figures, trial.test)
        ]
        lines.append(f"| {text.label(metric, unit.unit)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _standing(info: StudyInfo, trials: Sequence[Trial], picked: Trial) -> str:
    """How it compares with the landmarks, and with the front."""
    members = front(trials, info.objectives)
    others = [member for member in members if member.number != picked.number]
    found = standings(info, trials, [picked, *others])[picked.number]
    parts = [f"{name}: {how}" for name, how in found.versus.items()]
    parts += [f"ties with trial {number} of the front" for number in found.ties]
    known = "; ".join(f"{relation} is {meaning}" for relation, meaning in EXPLAINED.items())
    return f"Compared with {'; '.join(parts)} ({known})." if parts else ""


def _cell(measured: Mapping[str, Measurement], metric: Metric, unit: text.Scale) -> str:
    return text.figure(measured[metric.name], unit) if metric.name in measured else "–"


def _doubts(info: StudyInfo, picked: Trial) -> list[str]:
    metrics = ordered(info)
    found = [*text.flags(metrics, picked.figures), *text.flags(metrics, picked.test, "test ")]
    return [f"{text.DOUBTFUL} marks doubtful figures: {'; '.join(found)}."] if found else []


def _violations(picked: Trial) -> list[str]:
    broken = ", ".join(f"`{violation}`" for violation in picked.violations)
    return [f"**It violates {broken}.**"] if broken else []


def _conditions(info: StudyInfo, picked: Trial) -> str:
    shared: dict[str, list[str]] = {}
    for metric in ordered(info):
        conditions = picked.figures[metric.name].conditions
        if conditions:
            facts = ", ".join(f"{key} {value}" for key, value in conditions.items())
            shared.setdefault(facts, []).append(metric.name)
    lines = [f"- {', '.join(names)}: {facts}" for facts, names in shared.items()]
    machine = ", ".join(
        f"{key} {value}"
        for key, value in info.environment.items()
        if not isinstance(value, Mapping | list)
    )
    lines.append(f"- searched on: {machine}")
    return "\n".join(lines)


def _usage(inputs: Sequence[ModelInput]) -> str:
    feeds = ", ".join(f'"{value.name}": {value.name.replace(".", "_")}' for value in inputs)
    takes = ", ".join(map(str, inputs))
    return "\n".join(
        (
            "```python",
            "import onnxruntime",
            "",
            'session = onnxruntime.InferenceSession("model.onnx")',
            f"outputs = session.run(None, {{{feeds}}})  # {takes}",
            "```",
        )
    )


def _policy(picked: Trial) -> str:
    lines = ["| layer | choice |", "| --- | --- |"]
    lines += [f"| {layer} | {choice} |" for layer, choice in picked.policy]
    return "\n".join(lines)
