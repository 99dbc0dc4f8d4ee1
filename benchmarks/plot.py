"""Charts as SVG, lines over named places or bars, on a card of their own that reads well on light and dark pages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

PICTURES = Path(__file__).parent.parent / "docs" / "img"

_WIDTH, _HEIGHT = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 210, 64, 52
_CARD, _GRID, _TEXT, _FAINT = "#f8fafc", "#e2e8f0", "#334155", "#64748b"
_QUIET = "#94a3b8"
# Apart for eyes that do not tell red from green, too (Okabe and Ito).
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#a6761d")
_FONT = "font-family=\"system-ui, -apple-system, 'Segoe UI', sans-serif\""
_LABEL_APART = 17.0
_BAR, _BAR_STEP, _BARS_LEFT = 26, 44, 302


@dataclass(frozen=True, slots=True)
class Line:
    """A value for each place."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Plot:
    """`places` from left to right; the scale begins at zero."""

    title: str
    unit: str
    places: Sequence[str]
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Bar:
    """`ours` is the one that the picture is about."""

    name: str
    value: float
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Bars:
    """From top to bottom; the scale begins at zero."""

    title: str
    unit: str
    bars: Sequence[Bar]


def draw(file: Path, picture: str) -> None:
    """Keep a picture."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(picture)


def bars_svg(plot: Bars) -> str:
    """The picture; its title and description say what it shows."""
    highest = max(bar.value for bar in plot.bars)
    said = "; ".join(f"{bar.name}: {bar.value:,.0f}" for bar in plot.bars)
    parts = []
    for number, bar in enumerate(plot.bars):
        y = _TOP + 8 + number * _BAR_STEP
        width = (_WIDTH - _BARS_LEFT - 100) * bar.value / highest
        color = _COLORS[0] if bar.ours else _QUIET
        parts.append(_text(_BARS_LEFT - 12, y + 18, bar.name, size=13, anchor="end", weight=600 if bar.ours else 400))
        parts.append(f'<rect x="{_BARS_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="4" fill="{color}"/>')
        parts.append(_text(_BARS_LEFT + width + 8, y + 18, f"{bar.value:,.0f}", size=13, weight=600))
    height = _TOP + 8 + len(plot.bars) * _BAR_STEP + 8
    return _card(plot.title, plot.unit, f"{plot.unit}; {said}", height, parts)


def svg(plot: Plot) -> str:
    """The picture; its title and description say what it shows. Raises ValueError for a line of another length."""
    step = _step(max(max(line.values) for line in plot.lines))
    top = step * math.ceil(max(max(line.values) for line in plot.lines) / step)
    said = [f"{plot.unit}, at {', '.join(plot.places)}"]
    said += [f"{line.name}: {', '.join(f'{value:.3g}' for value in line.values)}" for line in plot.lines]
    return _card(plot.title, plot.unit, "; ".join(said), _HEIGHT, [*_grid(plot, step, top), *_lines(plot, top)])


def _card(title: str, unit: str, said: str, height: int, parts: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" {_FONT}>',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(said)}</desc>",
            f'<rect width="{_WIDTH}" height="{height}" rx="12" fill="{_CARD}"/>',
            _text(24, 30, title, size=16, weight=600),
            _text(24, 49, unit, size=12, color=_FAINT),
            *parts,
            "</svg>\n",
        ]
    )


def _grid(plot: Plot, step: float, top: float) -> list[str]:
    parts = []
    for number in range(round(top / step) + 1):
        y = _y(number * step, top)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{number * step:g}", size=12, color=_FAINT, anchor="end"))
    for number, place in enumerate(plot.places):
        parts.append(_text(_x(number, plot), _HEIGHT - _BOTTOM + 24, place, size=12, color=_FAINT, anchor="middle"))
    return parts


def _lines(plot: Plot, top: float) -> list[str]:
    parts = []
    label_at = _apart([_y(line.values[-1], top) for line in plot.lines])
    for line, color, label_y in zip(plot.lines, _COLORS, label_at, strict=False):
        if len(line.values) != len(plot.places):
            raise ValueError(f"{line.name}: {len(line.values)} values for {len(plot.places)} places")
        points = [(_x(number, plot), _y(value, top)) for number, value in enumerate(line.values)]
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{way}" fill="none" stroke="{color}" stroke-width="2.5"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"/>' for x, y in points]
        label = f"{line.name}, {line.values[-1]:.3g}"
        parts.append(_text(_WIDTH - _RIGHT + 14, label_y + 4, label, size=12, color=color, weight=600))
    return parts


def _apart(wanted: Sequence[float]) -> list[float]:
    """The same heights, moved down just so far that labels do not lie upon one another."""
    given, lowest = [0.0] * len(wanted), -math.inf
    for place in sorted(range(len(wanted)), key=wanted.__getitem__):
        lowest = given[place] = max(wanted[place], lowest + _LABEL_APART)
    over = max(lowest - (_HEIGHT - _BOTTOM), 0.0)
    return [y - over for y in given]


def _step(highest: float) -> float:
    """Four to eight lines at round numbers."""
    rough = max(highest, 1e-6) / 6
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)


def _x(number: int, plot: Plot) -> float:
    inside = _WIDTH - _LEFT - _RIGHT - 80
    return _LEFT + 40 + inside * number / max(len(plot.places) - 1, 1)


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / top


def _text(
    x: float, y: float, words: str, *, size: int, color: str = _TEXT, anchor: str = "start", weight: int = 400
) -> str:
    style = f'font-size="{size}" fill="{color}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'
