"""Figures that show names of classes and files as they are written, whatever characters they contain."""

from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure

CJK_FONTS = (  # of Linux distributions, Windows and macOS; the first that is installed shows Hangul, kana and Han
    "Noto Sans CJK KR",
    "NanumGothic",
    "NanumBarunGothic",
    "UnDotum",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "AppleGothic",
)
PLACEHOLDERS = "Last Resort High-Efficiency"  # part of Matplotlib: a box for each character that no other font has


def new_figure(**settings: Any) -> Figure:
    """A Matplotlib figure without the pyplot state; `$` in a text is a character, not the start of a formula.

    Args:
        settings: of `matplotlib.figure.Figure`.
    """
    installed = {font.name for font in font_manager.fontManager.ttflist}
    fallback = next((name for name in CJK_FONTS if name in installed), PLACEHOLDERS)
    matplotlib.rcParams |= {"text.parse_math": False, "font.family": ["DejaVu Sans", fallback]}
    return Figure(**settings)


def legend_label(name: str) -> str:
    """A name for a legend, which leaves out names that start with an underscore."""
    return f" {name}" if name.startswith("_") else name
