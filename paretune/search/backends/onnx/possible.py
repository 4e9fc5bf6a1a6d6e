"""Refusing policies that were made for another model, or for what can do more."""

from paretune.errors import Infeasible
from paretune.search.backends.backend import Prepared
from paretune.spaces import Dense, Policy, Precision


def require_possible(prepared: Prepared, policy: Policy) -> None:
    """See that a policy is about these layers, and asks of each what the runtime has.

    Raises:
        Infeasible: it is not, or does not.
    """
    known = prepared.capabilities
    given, names = dict(policy.items), [layer.name for layer in prepared.layers]
    if list(given) != names:
        strange = sorted(given.keys() ^ set(names))
        differing = f"differ in {', '.join(map(repr, strange))}" if strange else "are in disorder"
        raise Infeasible(f"the policy is for another model: their layers {differing}")
    for layer in prepared.layers:
        precision, sparsity = given[layer.name].precision, given[layer.name].sparsity
        if precision != Precision.FP32 and not known.of_precision(precision, layer.op_type):
            raise Infeasible(f"{layer.name}: {known.runtime} has no {layer.op_type} in {precision}")
        if not isinstance(sparsity, Dense) and type(sparsity) not in known.sparsities:
            raise Infeasible(f"{layer.name}: {known.runtime} has no {sparsity}")
