"""Colours and type, shared by all figures.

Hues are those of Okabe and Ito, "Color Universal Design" (2008), told apart with any common form
of colour blindness.
"""

from typing import Any

from paretune.spaces import Precision

FRONT = "#0072B2"
REFERENCE = "#D55E00"
UNIFORM = "#009E73"
OTHER = "#8A9199"
VIOLATING = "#C9CDD2"
INK = "#22272E"
SOFT_INK = "#5B636C"
GRID = "#E7E9EC"

LANDMARKS = {"fp32": REFERENCE, "uniform int8": UNIFORM}

PRECISIONS = {
    Precision.FP32: "#E4E7EA",
    Precision.FP16: "#A9D6F2",
    Precision.W8: "#F3E39B",
    Precision.W4: "#E69F00",
    Precision.INT8_DYNAMIC: "#44B79A",
    Precision.INT8: "#0072B2",
    **dict(
        zip(
            Precision.OTHERS,
            (
                *("#C97B00", "#9C5A00", "#7A4300", "#4A2800"),
                *("#7B3F6E", "#8E4C80", "#A05B92", "#B36BA4", "#CC79A7", "#DA98BC", "#E8B9D2"),
            ),
            strict=True,
        )
    ),
}
"""Of Paretune's own precisions, grouped by hue."""

STRANGER = "#6F7F3F"
"""Of a precision that another package brings."""

FONT = "DejaVu Sans"
HTML_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

MATPLOTLIB: dict[Any, Any] = {
    "font.family": FONT,
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": "#B6BCC4",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": SOFT_INK,
    "ytick.color": SOFT_INK,
    "svg.fonttype": "none",
}
