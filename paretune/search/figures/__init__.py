"""Pictures of a study: its front, interactive and as PNG, and the policies on it."""

from paretune.search.figures.explain_html import explain_html
from paretune.search.figures.front_html import front_html
from paretune.search.figures.front_png import draw_front
from paretune.search.figures.policies_png import draw_policies

__all__ = ["draw_front", "draw_policies", "explain_html", "front_html"]
