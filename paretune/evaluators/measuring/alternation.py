"""Taking pairs: the two models alternate, and disturbed blocks are taken again."""

from collections import Counter

from paretune.evaluators.measuring.blocks import Side
from paretune.evaluators.measuring.interference import Watch
from paretune.evaluators.measuring.samples import Block, Pair
from paretune.evaluators.measuring.timer import Clock

RETAKING_SHARE = 0.5
"""Of the time may be spent on blocks that are thrown away, and `patience` besides."""


class Alternation:
    """Takes one pair after the other; who goes first alternates, so that a drift cancels.

    Args:
        patience: seconds to wait for an end of what disturbs.

    Attributes:
        wasted: seconds spent on blocks thrown away so far.
        retaken: blocks thrown away so far.
        interference: what interfered with blocks so far, and with how many.
    """

    def __init__(
        self, reference: Side, candidate: Side, watch: Watch, clock: Clock, patience: float = 0.0
    ) -> None:
        self._reference = reference
        self._candidate = candidate
        self._watch = watch
        self._clock = clock
        self._patience = patience
        self._settled: Side | None = None
        self._reference_first = True
        self.wasted = 0.0
        self.start_counting()

    def start_counting(self) -> None:
        """Forget what was counted; patience that was spent stays spent."""
        self._begin = self._clock()
        self._patience = max(0.0, self._patience - self.wasted)
        self.wasted = 0.0
        self.retaken = 0
        self.interference: Counter[str] = Counter()

    def take(self) -> Pair:
        """The next pair."""
        if self._reference_first:
            reference, disturbed = self._block(self._reference)
            candidate, also = self._block(self._candidate)
        else:
            candidate, disturbed = self._block(self._candidate)
            reference, also = self._block(self._reference)
        self._reference_first = not self._reference_first
        return Pair(reference, candidate, disturbed or also)

    def _block(self, side: Side) -> tuple[Block, bool]:
        """A block, and whether it is disturbed, although it was taken again if time allowed."""
        while True:
            start = self._clock()
            if side is not self._settled:
                side.settle()
            already = self._watch.start()
            block = side.block()
            disturbances = {*already, *self._watch.disturbances()}
            self.interference.update(disturbances)
            # Whatever interfered has left its own data in the caches.
            self._settled = None if disturbances else side
            if not disturbances:
                return block, False
            now = self._clock()
            waited = min(self.wasted, self._patience)
            if self.wasted - waited > RETAKING_SHARE * (now - self._begin - waited):
                return block, True
            self.wasted += now - start
            self.retaken += 1
