"""The errors of Paretune, named for what the caller should do about them."""


class ParetuneError(Exception):
    """Base of all errors that Paretune raises on purpose."""


class UserError(ParetuneError):
    """A mistake in the input: the message names the value and what is allowed. Exit code 2."""


class MachineError(UserError):
    """The disk is full or the like: no candidate is to blame, and trying again does not help.

    What was measured so far is safe; the same command goes on once this is remedied.
    """


class Infeasible(ParetuneError):
    """A rule says that this candidate cannot exist; the message is the reason. Not a crash."""


class TransientError(ParetuneError):
    """The candidate is not to blame; the same work may succeed when tried again."""


class OutOfTime(ParetuneError):
    """The time that the search may take is over; what was under way is given up. Not a crash."""


class CandidateError(ParetuneError):
    """The candidate broke what ran it: refused, crashed, hung, out of memory. Not tried again."""


class InferenceError(CandidateError):
    """A runtime refused to load or to run a model."""
