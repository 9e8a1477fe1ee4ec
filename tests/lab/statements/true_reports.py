"""True reports over snapshots of drawn values: sentences as models write them, their words chosen by what is true."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from tests.lab.statements.day_snapshot import BEFORE, DAY, METRICS

from quantum_trader.lab.metrics.rendering import metric_text
from quantum_trader.lab.metrics.values import WHOLE, MetricKey, MetricSnapshot, MetricValue
from quantum_trader.lab.statements.claims import BoundClaim, is_true
from quantum_trader.lab.statements.language import Claim, ClaimRelation, Sentence

NAMES = {"mode": ("scalp", "trend", "runner"), "symbol": ("BTCUSDT", "ETHUSDT", "1000PEPEUSDT", "币安人生USDT")}
DRAWS: dict[str, Callable[[random.Random], float]] = {
    "pnl_total": lambda rng: rng.gauss(40.0, 300.0), "win_rate": lambda rng: rng.uniform(0.3, 0.7),
    "profit_factor": lambda rng: rng.uniform(0.4, 2.4), "trades": lambda rng: float(rng.randint(1, 60)),
    "fees": lambda rng: rng.uniform(2.0, 60.0), "expectancy_r": lambda rng: rng.gauss(0.0, 0.3),
    "max_drawdown": lambda rng: rng.uniform(0.002, 0.2), "latency_p99": lambda rng: rng.uniform(1e-4, 2e-3),
    "slippage": lambda rng: rng.gauss(1.5, 1.0), "holding_hours": lambda rng: rng.uniform(0.5, 20.0),
    "sharpe": lambda rng: rng.gauss(1.0, 1.0), "signals": lambda rng: float(rng.randint(20, 900)),
}


def drawn_snapshot(rng: random.Random) -> MetricSnapshot:
    """Two days and the span, by mode and by symbol, of drawn values."""
    values = []
    for name, draw in DRAWS.items():
        places: list[tuple[str, tuple[tuple[str, str], ...]]] = [(DAY, ()), (BEFORE, ()), (WHOLE, ())]
        for dimension in METRICS[name].by if name != "sharpe" else ():
            places += [(DAY, ((dimension.value, one),)) for one in NAMES[dimension.value]]
        for day, where in places:
            value = draw(rng)
            width = abs(value) * rng.choice((0.2, 1.5))
            values.append(MetricValue(
                key=MetricKey(name, day, where), value=value, samples=20, low=value - width, high=value + width))
    return MetricSnapshot(METRICS, values, DAY)


class TrueWords:
    """Picks words, and the claims behind them, by what is true of a snapshot."""

    def __init__(self, snapshot: MetricSnapshot, rng: random.Random) -> None:
        self.snapshot, self.rng = snapshot, rng
        self.claims: list[Claim] = []

    def holds(self, relation: ClaimRelation, left: str, right: str = "") -> bool:
        """Whether the relation is true of a day's figures, written as ``win_rate|mode=scalp``."""
        return is_true(BoundClaim(
            relation=relation, left=self.key(left), right=self.key(right) if right else None), self.snapshot)

    def key(self, text: str) -> MetricKey:
        """The figure that *text* names."""
        name, _, where = text.partition("|")
        metric, _, day = name.partition("@")
        pairs = tuple(tuple(one.split("=", 1)) for one in where.split(",") if one)
        return MetricKey(metric, day or DAY, pairs)  # type: ignore[arg-type]

    def change(self, name: str, up: str = "rose", down: str = "fell", same: str = "was unchanged") -> str:
        """The verb of the change since the day before."""
        for relation, word in ((ClaimRelation.ROSE, up), (ClaimRelation.FELL, down), (ClaimRelation.UNCHANGED, same)):
            if self.holds(relation, name, f"{name}@{BEFORE}"):
                self.claims.append(Claim(left=name, relation=relation, right=BEFORE))
                return word
        raise AssertionError(name)

    def better(self, name: str) -> str:
        """Improved or worsened."""
        for relation, word in ((ClaimRelation.IMPROVED, "improved"), (ClaimRelation.WORSENED, "worsened")):
            if self.holds(relation, name, f"{name}@{BEFORE}"):
                self.claims.append(Claim(left=name, relation=relation))
                return word
        return self.change(name)

    def target(self, name: str, above: str = "above", below: str = "below") -> str:
        """On which side of its target a figure is."""
        word, relation = (above, ClaimRelation.ABOVE_TARGET) if self.holds(ClaimRelation.ABOVE_TARGET, name) else (
            below, ClaimRelation.BELOW_TARGET)
        if not self.holds(relation, name):
            self.claims.append(Claim(left=name, relation=ClaimRelation.MEETS_TARGET))
            return "as good as"
        self.claims.append(Claim(left=name, relation=relation))
        return word

    def judged(self, name: str, good: str, bad: str) -> str:
        """A judging word that the target bears out."""
        meets = self.holds(ClaimRelation.MEETS_TARGET, name)
        relation = ClaimRelation.MEETS_TARGET if meets else ClaimRelation.MISSES_TARGET
        self.claims.append(Claim(left=name, relation=relation))
        return good if relation is ClaimRelation.MEETS_TARGET else bad

    def extreme(self, metric: str, dimension: str, relation: ClaimRelation) -> str:
        """The name of the best, worst, highest or lowest of a dimension."""
        names = NAMES[dimension]
        keys = tuple(self.key(f"{metric}|{dimension}={name}") for name in names)
        for name, key in zip(names, keys, strict=True):
            if is_true(BoundClaim(relation=relation, left=key, over=dimension, among=keys), self.snapshot):
                self.claims.append(Claim(left=str(key), relation=relation))
                return name
        raise LookupError(metric)  # two are shown the same: there is no such sentence

    def result(self, name: str, gain: str, loss: str) -> str:
        """A word for a gain or a loss."""
        value = self.snapshot.of(self.key(name)).value  # type: ignore[union-attr]
        if metric_text(value, METRICS[self.key(name).metric].unit) in ("0.00 USDT", "0.000 R"):
            return "a result"
        return gain if value > 0 else loss  # type: ignore[operator]

    def pair(self, metric: str, dimension: str) -> tuple[str, str, str]:
        """Two names of a dimension, the better one first, and the verb between them."""
        one, two = self.rng.sample(NAMES[dimension], 2)
        left, right = f"{metric}|{dimension}={one}", f"{metric}|{dimension}={two}"
        if not self.holds(ClaimRelation.BETTER, left, right):
            one, two, left, right = two, one, right, left
        relation = ClaimRelation.BETTER if self.holds(ClaimRelation.BETTER, left, right) else ClaimRelation.EQUAL
        self.claims.append(Claim(left=left, relation=relation, right=right))
        return one, two, "outperformed" if relation is ClaimRelation.BETTER else "matched"

    def luck(self, name: str) -> str:
        """Whether an interval tells a result from zero."""
        told = self.holds(ClaimRelation.SIGNIFICANT, name)
        relation = ClaimRelation.SIGNIFICANT if told else ClaimRelation.NOT_SIGNIFICANT
        self.claims.append(Claim(left=name, relation=relation))
        return "significant" if relation is ClaimRelation.SIGNIFICANT else "not significant"


def _mode(w: TrueWords) -> str:
    return w.rng.choice(NAMES["mode"])


def _symbol(w: TrueWords) -> str:
    return w.rng.choice(NAMES["symbol"])


def _pair(w: TrueWords, metric: str, dimension: str, text: str) -> str:
    one, two, verb = w.pair(metric, dimension)
    return text.format(
        one=f"{{{dimension}={one}}}", two=f"{{{dimension}={two}}}", verb=verb,
        left=f"{{{metric}|{dimension}={one}}}", right=f"{{{metric}|{dimension}={two}}}")


def _named(text: str, dimension: str, pick: Callable[[TrueWords], str]) -> Callable[[TrueWords], str]:
    def write(w: TrueWords) -> str:
        name = pick(w)
        gain = w.result(f"pnl_total|{dimension}={name}", "earned", "lost")
        return text.replace("VERB", gain).replace("NAME", f"{{{dimension}={name}}}").replace(
            "|X", f"|{dimension}={name}")
    return write


def _verb(w: TrueWords) -> str:
    return w.result("pnl_total", "earned", "lost").replace("a result", "made")


TEMPLATES: tuple[Callable[[TrueWords], str], ...] = (
    lambda w: "The bot closed {trades} trades today with a win rate of {win_rate}.",
    lambda w: f"The day ended with {w.result('pnl_total', 'a gain', 'a loss')} of {{pnl_total}}.",
    lambda w: f"Trading {_verb(w)} {{pnl_total}} on {{date}}.",
    lambda w: f"The win rate {w.change('win_rate')} from {{win_rate@{BEFORE}}} to {{win_rate}}.",
    lambda w: f"The win rate {w.better('win_rate')} to {{win_rate}}.",
    lambda w: f"At {{win_rate}}, the win rate is {w.target('win_rate')} its target.",
    lambda w: f"The win rate is {w.target('win_rate')} target at {{win_rate}}.",
    lambda w: f"A profit factor of {{profit_factor}} is {w.judged('profit_factor', 'a solid', 'a weak')} reading.",
    lambda w: f"The profit factor of {{profit_factor}} is {w.target('profit_factor')} its target, and deserves a look.",
    lambda w: f"Fees {w.change('fees')} to {{fees}} compared with the previous day.",
    lambda w: f"Fees of {{fees}} were a drag, and they {w.change('fees')} since yesterday.",
    lambda w: "Fees came to {fees} across {trades} trades.",
    lambda w: "Slippage was {slippage}, so execution deserves a look.",
    lambda w: f"Slippage {w.change('slippage')} to {{slippage}}, which is worth monitoring.",
    lambda w: f"The maximum drawdown was {{max_drawdown}}, "
    f"{w.judged('max_drawdown', 'within a healthy range', 'which is poor')}.",
    lambda w: f"Drawdown {w.change('max_drawdown')} to {{max_drawdown}}.",
    lambda w: f"Drawdown {w.better('max_drawdown')}: it stands at {{max_drawdown}}.",
    lambda w: f"The decision latency {w.change('latency_p99')} to {{latency_p99}}.",
    lambda w: "Decision latency stood at {latency_p99}, which leaves room for the engine.",
    lambda w: f"Positions were held for a holding time of {{holding_hours}}, and this {w.change('holding_hours')}.",
    lambda w: "The holding time was {holding_hours}.",
    lambda w: "The Sharpe ratio over the whole span is {sharpe@all}.",
    lambda w: "Over the whole span, the win rate is {win_rate@all}.",
    lambda w: "Across the whole span the bot closed {trades@all} trades.",
    lambda w: "The expectancy was {expectancy_r}.",
    lambda w: f"The expectancy {w.change('expectancy_r')} to {{expectancy_r}}.",
    lambda w: f"The result of {{pnl_total}} is {w.luck('pnl_total')}.",
    lambda w: f"An expectancy of {{expectancy_r}} is {w.luck('expectancy_r')} at this sample size.",
    lambda w: "{signals} signals led to {trades} trades.",
    lambda w: f"The models gave {{signals}} signals, and the number of trades {w.change('trades')} to {{trades}}.",
    _named("NAME VERB {pnl_total|X}.", "mode", _mode),
    _named("NAME VERB {pnl_total|X} on {trades|X} trades.", "symbol", _symbol),
    _named("In NAME, the win rate was {win_rate|X}.", "mode", _mode),
    _named("The win rate of NAME was {win_rate|X} with a profit factor of {profit_factor|X}.", "symbol", _symbol),
    _named("NAME paid fees of {fees|X}.", "symbol", _symbol),
    _named("Consider reviewing the exits of NAME, which VERB {pnl_total|X}.", "mode", _mode),
    _named("Keep watching NAME: its drawdown was {max_drawdown|X}.", "symbol", _symbol),
    _named("Slippage in NAME was {slippage|X}.", "symbol", _symbol),
    _named("NAME had an expectancy of {expectancy_r|X}.", "mode", _mode),
    _named("The holding time in NAME was {holding_hours|X}.", "mode", _mode),
    lambda w: (n := w.extreme("pnl_total", "mode", ClaimRelation.BEST))
    and f"The best mode was {{mode={n}}} with a result of {{pnl_total|mode={n}}}.",
    lambda w: (n := w.extreme("pnl_total", "symbol", ClaimRelation.WORST))
    and f"The worst symbol was {{symbol={n}}} with a result of {{pnl_total|symbol={n}}}.",
    lambda w: (n := w.extreme("win_rate", "mode", ClaimRelation.HIGHEST))
    and f"{{mode={n}}} had the highest win rate at {{win_rate|mode={n}}}.",
    lambda w: (n := w.extreme("fees", "symbol", ClaimRelation.HIGHEST))
    and f"The highest fees were paid in {{symbol={n}}}: {{fees|symbol={n}}}.",
    lambda w: (n := w.extreme("profit_factor", "mode", ClaimRelation.LOWEST))
    and f"The lowest profit factor, {{profit_factor|mode={n}}}, was in {{mode={n}}}.",
    lambda w: _pair(w, "pnl_total", "mode", "{one} {verb} {two} with a result of {left} against {right}."),
    lambda w: _pair(w, "win_rate", "symbol", "{one} {verb} {two} by win rate, {left} versus {right}."),
    lambda w: _pair(w, "expectancy_r", "mode", "By expectancy {one} {verb} {two}."),
    lambda w: f"Yesterday's result was {{pnl_total@{BEFORE}}}.",
    lambda w: f"On {{date@{BEFORE}}} the win rate was {{win_rate@{BEFORE}}}.",
    lambda w: f"The day before, fees were {{fees@{BEFORE}}}.",
    lambda w: "Costs matter here: fees took {fees}.",
    lambda w: "Reduce the size of the next entries until the exits are reviewed.",
    lambda w: "Check whether the threshold of the gate suits the current market.",
    lambda w: "The market was choppy, and the models hesitated.",
    lambda w: "Watch the spread before adding exposure.",
    lambda w: "The result was {pnl_total}, and the win rate was {win_rate}.",
    lambda w: f"Although the win rate {w.change('win_rate', 'climbed', 'slipped')} to {{win_rate}}, "
    f"fees {w.change('fees')}.",
    lambda w: f"The number of trades {w.change('trades', 'increased', 'decreased')}, which kept the pipeline busy.",
    lambda w: f"Trading activity {w.change('trades', 'grew', 'shrank')} to {{trades}} trades.",
    lambda w: "The sample was {trades} trades.",
    lambda w: f"The profit factor {w.better('profit_factor')} from {{profit_factor@{BEFORE}}} to {{profit_factor}}.",
    lambda w: f"The win rate {w.judged('win_rate', 'met', 'missed')} its target with {{win_rate}}.",
    lambda w: f"A drawdown of {{max_drawdown}} {w.judged('max_drawdown', 'meets', 'misses')} the target.",
    lambda w: f"Fees {w.change('fees')}, while slippage {w.change('slippage')}.",
    lambda w: "This suggests that the exits, rather than the entries, need work.",
)


def true_report(seed: int) -> tuple[MetricSnapshot, list[Sentence]]:
    """A snapshot and a report of eight sentences about it."""
    rng = random.Random(seed)
    snapshot, sentences = drawn_snapshot(rng), []
    for template in rng.sample(TEMPLATES, 8):
        words = TrueWords(snapshot, rng)
        try:
            sentences.append(Sentence(text=template(words), claims=tuple(words.claims)))
        except LookupError:
            continue
    return snapshot, sentences


def true_reports(count: int) -> Iterator[tuple[MetricSnapshot, list[Sentence]]]:
    """*count* reports."""
    return (true_report(seed) for seed in range(count))
