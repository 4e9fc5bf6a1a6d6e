"""Keeping what is measured under other conditions out of a study."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from paretune.errors import TransientError, UserError
from paretune.evaluators import Artifact, Measurement, SplitName
from paretune.evaluators.comparable import difference
from paretune.evaluators.part import Part
from paretune.search.bench import Bench, BenchAround, Measured
from paretune.search.trial import TRANSIENT, Trial, TrialStatus

PATIENCE = 20
"""So many measurements in a row under other conditions: the old ones will not come back."""


class OtherConditions(TransientError):
    """What was measured cannot be compared with the study; the old conditions may come back."""


class ComparingBench(BenchAround):
    """A bench whose measurements can be compared with each other and with earlier ones.

    The first measurement of a metric on a split says what the conditions of all others must be.
    """

    def __init__(self, bench: Bench, earlier: Sequence[Trial]) -> None:
        """Args:
        earlier: trials of the study.
        """
        super().__init__(bench)
        self._known: dict[tuple[SplitName, str], Measurement] = {}
        self._met = False
        self._missed = 0
        self._why = ""
        for trial in earlier:
            self._take(trial.measurements, "search")
            self._take(trial.confirmed, "search")
            self._take(trial.test, "test")

    def measure(self, artifact: Artifact, split: SplitName) -> Measured:
        """As the bench does.

        Raises:
            OtherConditions: a metric was measured under other conditions than the study's.
            UserError: as `require_met`.
        """
        return self._compared(self._bench.measure(artifact, split), split)

    def measure_only(
        self,
        artifact: Artifact,
        split: SplitName,
        metrics: Set[str],
        part: Part | None = None,
    ) -> Measured:
        """As the bench does.

        Raises:
            OtherConditions, UserError: as `measure`.
        """
        return self._compared(self._bench.measure_only(artifact, split, metrics, part), split)

    def _compared(self, found: Measured, split: SplitName) -> Measured:
        measured, seconds = found
        if why := self._differences(measured, split):
            self._missed += 1
            self._why = why
            self.require_met()
            raise OtherConditions(f"it cannot be compared with earlier trials: {why}")
        self._take(measured, split)
        self._met, self._missed = True, 0
        return measured, seconds

    def checked(self, trial: Trial) -> Trial:
        """A trial that may have been measured elsewhere; failed if it cannot be compared."""
        if why := self._differences(trial.measurements, "search"):
            self._missed += 1
            self._why = why
            return replace(
                trial,
                status=TrialStatus.FAILED,
                measurements={},
                reason=f"{TRANSIENT}it cannot be compared with earlier trials: {why}",
            )
        if trial.measurements:
            self._take(trial.measurements, "search")
            self._met, self._missed = True, 0
        return trial

    def learn(self, trial: Trial) -> None:
        """Take over the conditions of a trial that this run has measured already."""
        self._take(trial.measurements, "search")
        self._met = True

    def require_met(self) -> None:
        """Refuse to go on when nothing that is measured now belongs into the study.

        Raises:
            UserError: already the first measurement was taken under other conditions, or so were
                the last ones, all of them.
        """
        if self._missed and (not self._met or self._missed >= PATIENCE):
            raise UserError(
                f"the study '{self.info.name}' was measured under other conditions, and figures of"
                f" different conditions cannot be compared: {self._why}. Go back to the earlier"
                " conditions, or choose another output folder for a new study"
            )

    def _take(self, measured: Mapping[str, Measurement], split: SplitName) -> None:
        for name, measurement in measured.items():
            self._known.setdefault((split, name), measurement)

    def _differences(self, measured: Mapping[str, Measurement], split: SplitName) -> str:
        """Per metric; those that differ alike in one go."""
        metrics: dict[str, list[str]] = {}
        for name, now in measured.items():
            before = self._known.get((split, name))
            if before is not None and (how := difference(before, now)):
                metrics.setdefault(how, []).append(name)
        return "; ".join(f"{', '.join(names)}: {how}" for how, names in metrics.items())
