"""An experiment's read-out for people: text, JSON, and one HTML page with its plot inside. Pure."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from model_registry.experiment import Effect
from model_registry.stats import Estimate

_Z: Final = 1.96
_SRM_ALARM: Final = 0.001
_LOWER_IS_BETTER: Final = frozenset({"abs_error_s", "latency_ms", "cancellation"})
_WIDTH, _ROW, _LEFT = 720, 34, 190  # pixels
_LEGEND: Final = (
    "Change of each metric in per cent of the champion's: a thick bar for one planned look, a thin one for looking all "
    "the time."
)
_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430}"
    "table{border-collapse:collapse;width:100%}td,th{padding:.4rem .6rem;text-align:right;border-bottom:1px solid #dde}"
    "td:first-child,th:first-child{text-align:left}.alarm{background:#fde8e8;padding:.6rem;border-radius:6px}"
    "svg text{font:13px system-ui,sans-serif;fill:#1c2430}"
)


class ReadOut(Struct, frozen=True):
    """Effects by metric, and the estimates that take confounders out, by metric and name (`by borough`, say)."""

    name: str
    champion: str
    candidate: str
    effects: dict[str, Effect]
    adjusted: dict[str, dict[str, Estimate]] = {}

    @property
    def alarms(self) -> list[str]:
        """What makes the figures unfit for use."""
        return [
            f"{metric}: units did not fall into the arms as planned (p = {effect.srm_p:.2g}); don't trust its effect"
            for metric, effect in self.effects.items()
            if effect.srm_p < _SRM_ALARM
        ]


def verdict(metric: str, effect: Effect) -> str:
    """Better, worse or undecided, by the interval that allows peeking."""
    if effect.always.low <= 0.0 <= effect.always.high or math.isnan(effect.diff):
        return "undecided"
    return "better" if (effect.diff < 0) == (metric in _LOWER_IS_BETTER) else "worse"


def as_text(read_out: ReadOut) -> str:
    """Lines for a terminal."""
    lines = [f"{read_out.name}: {read_out.candidate} against {read_out.champion}", *read_out.alarms]
    for metric, effect in read_out.effects.items():
        lines += ["", f"{metric}: {verdict(metric, effect)}"]
        lines += [f"  {label.ljust(34)}{value}" for label, value in _rows(effect)]
        lines += [
            f"  {name.ljust(34)}{value:+.4g} ± {_Z * se:.2g}"
            for name, (value, se) in read_out.adjusted.get(metric, {}).items()
        ]
    return "\n".join(lines)


def as_html(read_out: ReadOut) -> str:
    """One page that needs nothing else."""
    title = html.escape(f"{read_out.name}: {read_out.candidate} against {read_out.champion}")
    alarms = "".join(f'<p class="alarm">{html.escape(alarm)}</p>' for alarm in read_out.alarms)
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>",
        f"<h1>{title}</h1>{alarms}",
        f"<p>{_LEGEND}</p>",
        _plot(read_out.effects),
    ]
    for metric, effect in read_out.effects.items():
        rows = [*_rows(effect)]
        rows += [(k, f"{v:+.4g} ± {_Z * se:.2g}") for k, (v, se) in read_out.adjusted.get(metric, {}).items()]
        cells = "".join(f"<tr><td>{html.escape(k)}<td>{html.escape(v)}" for k, v in rows)
        parts.append(f"<h2>{html.escape(metric)}: {verdict(metric, effect)}</h2><table>{cells}</table>")
    return "".join(parts) + "</html>\n"


def _rows(effect: Effect) -> Iterable[tuple[str, str]]:
    yield "champion", f"{effect.base:.4g}"
    yield "difference", f"{effect.diff:+.4g} ({100 * effect.relative:+.2f} %)"
    yield "interval, one planned look", f"{effect.low:+.4g} to {effect.high:+.4g} (p = {effect.p:.2g})"
    yield "interval, looking all the time", f"{effect.always.low:+.4g} to {effect.always.high:+.4g}"
    yield "units, champion and candidate", f"{effect.units[0]} and {effect.units[1]} (split: p = {effect.srm_p:.2g})"
    yield "variance left by the history", f"{100 * effect.kept:.0f} %"


def _plot(effects: Mapping[str, Effect]) -> str:
    """Each metric's intervals on one axis in per cent."""
    shown = {metric: effect for metric, effect in effects.items() if effect.base and math.isfinite(effect.always.high)}
    if not shown:
        return ""
    reach = max(max(abs(100 * end / abs(e.base)) for end in e.always) for e in shown.values()) or 1.0
    middle, scale = (_LEFT + _WIDTH) / 2, (_WIDTH - _LEFT - 40) / 2 / reach
    height = _ROW * len(shown) + 40
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Intervals by metric">',
        f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="6" y2="{height - 26}" stroke="#98a" stroke-dasharray="4 3"/>',
    ]
    for i, (metric, effect) in enumerate(shown.items()):
        y = _ROW * i + 24
        per_cent = 100 * scale / abs(effect.base)
        x = [middle + end * per_cent for end in (*effect.always, effect.low, effect.high, effect.diff)]
        colour = {"better": "#1a7f4b", "worse": "#b3261e"}.get(verdict(metric, effect), "#5b6675")
        parts.append(
            f'<text x="4" y="{y + 4}">{html.escape(metric)}</text>'
            f'<line x1="{x[0]:.1f}" x2="{x[1]:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
            f'<line x1="{x[2]:.1f}" x2="{x[3]:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="8"/>'
            f'<circle cx="{x[4]:.1f}" cy="{y}" r="5" fill="#fff" stroke="{colour}" stroke-width="2"/>'
        )
    ends = ((middle - reach * scale, f"{-reach:.2g} %"), (middle, "0"), (middle + reach * scale, f"{reach:+.2g} %"))
    parts += [f'<text x="{x:.1f}" y="{height - 6}" text-anchor="middle">{label}</text>' for x, label in ends]
    return "".join(parts) + "</svg>"
