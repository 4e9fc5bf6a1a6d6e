"""The files that show a study: tables and figures.

The drawing libraries take a second to load, so that is left to whoever writes a figure.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from paretune.files import naming, scratch_folder
from paretune.search.info import StudyInfo
from paretune.search.table import front_table, trials_table
from paretune.search.trial import Trial
from paretune.search.view import front_devices, view

Writer = Callable[[StudyInfo, Sequence[Trial], Path], None]


def write_outputs(info: StudyInfo, trials: Sequence[Trial], folder: Path) -> list[Path]:
    """Write figures, `front.csv`, `front.parquet`, `trials.parquet` and `config.yaml`.

    `explain.html` tells what was learned. With several devices, each has its own
    `front-DEVICE.html`, `.png` and `.csv`, and `explain-DEVICE.html`. Each file is written whole or
    not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = {name: (write, info, trials) for name, write in OUTPUTS.items()}
    for device in front_devices(info):
        for name, write in DEVICE_OUTPUTS.items():
            jobs[name.format(device=device)] = (write, *view(info, trials, device))
    with scratch_folder(folder, "outputs") as scratch:
        for name, (write, seen, shown) in jobs.items():
            with naming(folder / name):
                write(seen, shown, scratch / name)
            (scratch / name).replace(folder / name)
    return [folder / name for name in jobs]


def _front_html(info: StudyInfo, trials: Sequence[Trial], path: Path) -> None:
    from paretune.search.figures import front_html

    path.write_text(front_html(info, trials), encoding="utf-8")


def _explain_html(info: StudyInfo, trials: Sequence[Trial], path: Path) -> None:
    from paretune.search.explaining import explain
    from paretune.search.figures import explain_html

    path.write_text(explain_html(explain(info, trials)), encoding="utf-8")


def _front_png(info: StudyInfo, trials: Sequence[Trial], path: Path) -> None:
    from paretune.search.figures import draw_front

    draw_front(info, trials).savefig(path, format="png")


def _policies_png(info: StudyInfo, trials: Sequence[Trial], path: Path) -> None:
    from paretune.search.figures import draw_policies

    draw_policies(info, trials).savefig(path, format="png")


def _front_csv(info: StudyInfo, trials: Sequence[Trial], path: Path) -> None:
    front_table(info, trials).to_csv(path, index=False)


def _front_parquet(info: StudyInfo, trials: Sequence[Trial], path: Path) -> None:
    front_table(info, trials).to_parquet(path, index=False)


def _trials_parquet(info: StudyInfo, trials: Sequence[Trial], path: Path) -> None:
    trials_table(info, trials).to_parquet(path, index=False)


def _config_yaml(info: StudyInfo, trials: Sequence[Trial], path: Path) -> None:
    text = yaml.safe_dump(dict(info.config), sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")


OUTPUTS: dict[str, Writer] = {
    "front.html": _front_html,
    "front.png": _front_png,
    "policies.png": _policies_png,
    "front.csv": _front_csv,
    "front.parquet": _front_parquet,
    "trials.parquet": _trials_parquet,
    "config.yaml": _config_yaml,
    "explain.html": _explain_html,
}
"""File name to what writes it."""

DEVICE_OUTPUTS: dict[str, Writer] = {
    "front-{device}.html": _front_html,
    "front-{device}.png": _front_png,
    "front-{device}.csv": _front_csv,
    "explain-{device}.html": _explain_html,
}
"""The same for every device of several."""
