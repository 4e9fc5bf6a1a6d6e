"""How few trials could do: who knows the truth measures the best policy next."""

import heapq

import moocore
import numpy as np

from experiments.benchmarks.replay import Problem, reference_point, signs, start
from experiments.benchmarks.replayed_search import Trace

ENOUGH = 0.999
"""Of the hypervolume."""


def oracle(problem: Problem) -> Trace:
    """Begin as all searches do, then take that front member which adds most hypervolume.

    No sampler can be expected to do better. What a member adds shrinks as others are taken, so only
    those that still look best are looked at again (Minoux 1978, doi:10.1007/BFb0006528).
    """
    sign, reference = signs(problem), reference_point(problem)
    whole = float(moocore.hypervolume(problem.front * sign, ref=reference))
    taken = np.array([problem.truth(indices) * sign for indices in start(problem.knobs)])
    shares = [
        float(moocore.hypervolume(taken[:count], ref=reference)) / whole
        for count in range(1, len(taken) + 1)
    ]
    waiting = [(-np.inf, number) for number in range(len(problem.front))]
    while waiting and shares[-1] < ENOUGH:
        _, number = heapq.heappop(waiting)
        more = np.vstack([taken, problem.front[number] * sign])
        gain = float(moocore.hypervolume(more, ref=reference)) / whole - shares[-1]
        if waiting and -gain > waiting[0][0]:
            heapq.heappush(waiting, (-gain, number))
            continue
        taken = more
        shares.append(shares[-1] + gain)
    share = np.array(shares)
    return Trace(share, share, np.zeros(len(share)), finished=True)
