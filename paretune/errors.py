"""The errors of Paretune, named for what the caller should do about them."""


class ParetuneError(Exception):
    """Base of all errors that Paretune raises on purpose."""


class UserError(ParetuneError):
    """A mistake in the input: the message names the value and what is allowed. Exit code 2."""


class Infeasible(ParetuneError):
    """A rule says that this candidate cannot exist; the message is the reason. Not a crash."""


class TransientError(ParetuneError):
    """The candidate is not to blame; the same work may succeed when tried again."""


class CandidateError(ParetuneError):
    """The candidate broke what ran it: refused, crashed, hung, out of memory. Not tried again."""


class InferenceError(CandidateError):
    """A runtime refused to load or to run a model."""
