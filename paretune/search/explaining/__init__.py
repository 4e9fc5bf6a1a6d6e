"""What a search learned: which layers to protect, which are free, which neighbours interact."""

from paretune.search.explaining.explaining import explain
from paretune.search.explaining.explanation import Explanation

__all__ = ["Explanation", "explain"]
