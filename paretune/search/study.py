"""A study as a notebook sees it: tables to look at, and a pick to take home."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from paretune.errors import UserError
from paretune.search.config import Config, PluginSection, make_importable
from paretune.search.driver import Outcome
from paretune.search.info import StudyInfo
from paretune.search.pick import Pick, pick
from paretune.search.rule import Knee, MaxDrop, Rule, TrialNumber, Weights
from paretune.search.store import StudyStore
from paretune.search.table import front_table, trials_table
from paretune.search.view import devices, view
from paretune.search.workbench import Workbench, everything, needs_no_device


class Study:
    """A study in a folder, read anew at every look.

    Attributes:
        folder: where it is.
        outcome: how the search of this process ended, or None if it was only opened.
    """

    def __init__(
        self,
        folder: Path,
        data: Any = None,
        outcome: Outcome | None = None,
        evaluators: Sequence[PluginSection] = (),
    ) -> None:
        """Use `paretune.tune` or `paretune.open_study`.

        Raises:
            UserError: there is no study in `folder`, or it cannot be read.
        """
        self.folder = folder
        self.outcome = outcome
        self._data = data
        self._evaluators = tuple(evaluators)
        self._store = StudyStore.open(folder)

    @property
    def info(self) -> StudyInfo:
        """What the study is about."""
        return self._store.info

    @property
    def trials(self) -> pd.DataFrame:
        """One row a trial; see `paretune.search.table.trials_table` for the columns."""
        return trials_table(self.info, self._store.trials())

    @property
    def front(self) -> pd.DataFrame:
        """One row a front member; see `paretune.search.table.front_table` for the columns."""
        return front_table(self.info, self._store.trials())

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that have metrics of their own; none in a study on a single device."""
        return devices(self.info)

    def front_on(self, device: str) -> pd.DataFrame:
        """The front of one device: by the objectives that are not tied to another.

        Raises:
            UserError: the study knows no such device.
        """
        return front_table(*view(self.info, self._store.trials(), device))

    @property
    def store(self) -> StudyStore:
        """For reading: policies and measurements as objects."""
        return self._store

    def config(self) -> Config:
        """The config that the study was begun with."""
        return study_config(self._store)

    def workbench(self, *, devices: bool = True) -> Workbench:
        """Load and prepare model, data and evaluators again, and check that they are the same.

        Args:
            devices: False connects to none, and leaves out what is measured on one.

        Raises:
            UserError: something cannot be loaded, or differs from what the study measured.
        """
        config = self.config()
        if self._evaluators:
            config = config.model_copy(update={"evaluators": self._evaluators})
        only = everything if devices else needs_no_device
        bench = Workbench.open(config, self._data, first=True, only=only)
        try:
            self._store.require_same(bench.identity)
            bench.expect(self._store.trials())
        except UserError:
            bench.close()
            raise
        return bench

    def pick(
        self,
        *,
        max_drop: float | None = None,
        minimize: str | None = None,
        knee: bool = False,
        weights: Mapping[str, float] | None = None,
        trial: int | None = None,
        device: str | None = None,
        output: str | Path | None = None,
        register: bool = True,
        alias: str | None = None,
    ) -> Pick:
        """Choose one front member by one rule, export it, verify the written file, register it.

        Args:
            max_drop, minimize: the least `minimize` among those that lose at most `max_drop` of
                the accuracy.
            knee: the knee point of the front.
            weights: metric name to its weight in a sum of normalized figures.
            trial: that number, on the front or not.
            device: picks from this device's front; its name may be left out of the metrics'.
            output: the folder to write; by default `picks/trial-N` of the study, with a device
                `picks/DEVICE-trial-N`.
            register: in MLflow's model registry, if the config's tracking is on.
            alias: of the version in the registry; by default `picked` or `picked-DEVICE`.

        Raises:
            UserError: not exactly one rule was given, there is no such device, or the rule does not
                fit the study.
            NothingPicked: no front member satisfies the rule.
            NotReproduced: the model or its figures are not those recorded.
        """
        rule = one_rule(max_drop, minimize, knee, weights, trial)
        # Before the model and the data are loaded: it may find nothing.
        rule.choose(*view(self.info, self._store.trials(), device))
        # What a clock or a meter says does not repeat itself; the devices may be switched off.
        with self.workbench(devices=False) as bench:
            return pick(
                self._store,
                bench,
                rule,
                device=device,
                output=None if output is None else Path(output),
                tracking=bench.config.tracking if register else None,
                alias=alias,
            )

    def __repr__(self) -> str:
        return f"Study('{self.folder}', {len(self._store.trials())} trials)"


def one_rule(
    max_drop: float | None,
    minimize: str | None,
    knee: bool,
    weights: Mapping[str, float] | None,
    trial: int | None,
) -> Rule:
    """The rule that was asked for.

    Raises:
        UserError: none, or more than one.
    """
    rules: list[Rule] = []
    if max_drop is not None or minimize is not None:
        if max_drop is None or minimize is None:
            raise UserError("a largest drop and a metric to minimize go together")
        rules.append(MaxDrop(max_drop, minimize))
    if knee:
        rules.append(Knee())
    if weights is not None:
        rules.append(Weights(weights))
    if trial is not None:
        rules.append(TrialNumber(trial))
    if len(rules) != 1:
        got = "; ".join(map(str, rules)) or "none"
        raise UserError(
            "exactly one rule picks: a largest drop with a metric to minimize, the knee, weights,"
            f" or a trial's number; but got {got}"
        )
    return rules[0]


def study_config(store: StudyStore) -> Config:
    """The config that a study was begun with; its user functions become importable.

    Raises:
        UserError: another version of Paretune wrote it.
    """
    data: Mapping[str, Any] = {**store.info.config, "output": store.folder}
    config = Config.of(data, store.base, f"the config of the study in '{store.folder}'")
    make_importable(store.base, store.cwd)
    return config
