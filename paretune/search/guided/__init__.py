"""The guided sampler: surrogates that know what networks are like, and exact search over them.

It needs Optuna, numpy and scipy, and nothing else of Paretune.
"""

from paretune.search.guided.sampler import GuidedSampler

__all__ = ["GuidedSampler"]
