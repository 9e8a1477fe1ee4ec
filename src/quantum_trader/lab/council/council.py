"""One sitting of the council: analysts in parallel, each sent back once at most, then the judge, then the report."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from quantum_trader.lab.council.answers import ChatMessage, ModelAnswer
from quantum_trader.lab.council.calls import ModelCaller, NoAnswer
from quantum_trader.lab.council.decoding import ModelReport, read_model_report
from quantum_trader.lab.council.prompts import (
    ANALYST_PROMPT,
    JUDGE_PROMPT,
    Prompt,
    analyst_messages,
    judge_messages,
    load_prompt,
    sent_back,
    split_flawed,
)
from quantum_trader.lab.council.scores import AnalystScore, score_reports
from quantum_trader.lab.council.settings import CouncilModel, CouncilSettings
from quantum_trader.lab.metrics.values import MetricSnapshot
from quantum_trader.lab.statements.daily import daily_sentences
from quantum_trader.lab.statements.flaws import Flaw
from quantum_trader.lab.statements.language import Sentence
from quantum_trader.lab.statements.report import SentenceReport, StruckSentence, make_report

BY_JUDGE, BY_BEST, BY_RULES = "judge", "best analyst", "rules"
TITLES: Final = {
    BY_JUDGE: "What the council says", BY_BEST: "What the council's best report says",
}
_REASONED: Final = 300


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A model whose sentences are not in the report, and why."""

    name: str
    why: str


class CouncilReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report of a sitting: checked sentences, who wrote what they rest on, and what was refused."""

    report: SentenceReport
    written_by: str  # judge, best analyst or rules
    snapshot: str  # hash of the figures
    prompts: tuple[str, ...]
    scores: tuple[AnalystScore, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    struck: tuple[StruckSentence, ...] = ()


class _Reviewed(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a model's answer: sentences without a flaw, and those that kept one after being sent back."""

    written: int
    sentences: tuple[Sentence, ...]
    struck: tuple[StruckSentence, ...] = ()
    refused_twice: bool = False
    clarity: dict[str, float] = {}


class Council:
    """Analysts and a judge who write about one snapshot."""

    def __init__(self, settings: CouncilSettings, keys: Mapping[str, str], caller: ModelCaller) -> None:
        """*keys*: variable name -> API key; a model whose variable is missing or empty is skipped."""
        self.settings, self.keys, self.caller = settings, dict(keys), caller
        self.analyst_prompt = load_prompt(ANALYST_PROMPT, settings.sentences)
        self.judge_prompt = load_prompt(JUDGE_PROMPT, settings.sentences)

    async def sit(self, snapshot: MetricSnapshot) -> CouncilReport:
        """The report about the day of *snapshot*; without any answer the one of the rules alone."""
        reviews = await asyncio.gather(*(self._analyse(one, snapshot) for one in self.settings.analysts))
        left_out: list[LeftOut] = []
        struck: list[StruckSentence] = []
        standing: dict[str, _Reviewed] = {}
        for model, review in zip(self.settings.analysts, reviews, strict=True):
            if isinstance(review, NoAnswer):
                left_out.append(LeftOut(name=model.name, why=review.why[:_REASONED]))
                continue
            struck += review.struck
            if review.refused_twice or not review.sentences:
                left_out.append(LeftOut(name=model.name, why=(
                    f"{len(review.struck)} of its sentences were refused again after they had been sent back"
                    if review.refused_twice else "none of its sentences could be printed"
                )))
            else:
                standing[model.name] = review
        return await self._merge(snapshot, standing, left_out, struck)

    async def _analyse(self, model: CouncilModel, snapshot: MetricSnapshot) -> _Reviewed | NoAnswer:
        messages = analyst_messages(self.analyst_prompt, snapshot, self.settings.most_figures)
        return await self._reviewed(model, messages, self.analyst_prompt, snapshot)

    async def _reviewed(
        self, model: CouncilModel, messages: tuple[ChatMessage, ...], prompt: Prompt, snapshot: MetricSnapshot
    ) -> _Reviewed | NoAnswer:
        """The model's sentences; those with a flaw went back once."""
        answer = await self._ask(model, messages, prompt, snapshot)
        if isinstance(answer, NoAnswer):
            return answer
        first = read_model_report(answer.text)
        report = first if isinstance(first, ModelReport) else ModelReport(sentences=())
        good, flawed = split_flawed(report.sentences, snapshot)
        if isinstance(first, ModelReport) and not flawed:
            return _Reviewed(written=len(good), sentences=tuple(good), clarity=report.clarity)
        trouble = first if isinstance(first, str) else ""
        back = sent_back(flawed, snapshot, self.settings.most_figures, trouble)
        said = ChatMessage(role="assistant", text=answer.text or "(nothing)")
        again = await self._ask(model, (*messages, said, back), prompt, snapshot)
        if isinstance(again, NoAnswer):
            return again if trouble or not good else _Reviewed(
                written=len(report.sentences), sentences=tuple(good), struck=_struck(flawed), clarity=report.clarity)
        second = read_model_report(again.text)
        if isinstance(second, str):
            return NoAnswer(why="its answer was no JSON with statements, twice")
        mended, refused = split_flawed([one for one in second.sentences if one not in good], snapshot)
        return _Reviewed(
            written=len(report.sentences) or len(second.sentences), sentences=(*good, *mended),
            struck=_struck(refused), refused_twice=bool(refused), clarity=report.clarity or second.clarity,
        )

    async def _ask(
        self, model: CouncilModel, messages: tuple[ChatMessage, ...], prompt: Prompt, snapshot: MetricSnapshot
    ) -> ModelAnswer | NoAnswer:
        key = self.keys.get(model.api_key_env, "") if model.api_key_env else ""
        if model.api_key_env and not key.strip():
            return NoAnswer(why=f"no key: {model.api_key_env} is not set")
        return await self.caller.ask(model, key, messages, snapshot=snapshot.content_hash, prompt=prompt.version)

    async def _merge(
        self, snapshot: MetricSnapshot, standing: dict[str, _Reviewed], left_out: list[LeftOut],
        struck: list[StruckSentence],
    ) -> CouncilReport:
        """The judge's report on *standing* analysts; without a judge the best analyst's; without either the rules'."""
        clarity: dict[str, float] = {}
        chosen: tuple[Sentence, ...] = ()
        judge = self.settings.judge
        if standing and judge is not None:
            letters = _letters(list(standing), snapshot.content_hash)
            messages = judge_messages(
                self.judge_prompt, snapshot, self.settings.most_figures,
                [(letter, standing[name].sentences) for letter, name in letters.items()],
            )
            verdict = await self._reviewed(judge, messages, self.judge_prompt, snapshot)
            if isinstance(verdict, NoAnswer):
                left_out.append(LeftOut(name=f"{judge.name} (judge)", why=verdict.why[:_REASONED]))
            else:
                chosen, struck = verdict.sentences, [*struck, *verdict.struck]
                clarity = {letters[one]: value for one, value in verdict.clarity.items() if one in letters}
        scores = score_reports(
            {name: one.sentences for name, one in standing.items()},
            {name: one.written for name, one in standing.items()}, snapshot, clarity,
        )
        written_by = BY_JUDGE
        if not chosen:
            written_by = BY_BEST if scores else BY_RULES
            chosen = standing[scores[0].name].sentences if scores else ()
        sections = [(TITLES[written_by], chosen)] if chosen else []
        return CouncilReport(
            report=make_report([*sections, *daily_sentences(snapshot)], snapshot), written_by=written_by,
            snapshot=snapshot.content_hash, prompts=(self.analyst_prompt.version, self.judge_prompt.version),
            scores=tuple(scores), left_out=tuple(left_out), struck=tuple(struck),
        )


def _letters(names: list[str], seed: str) -> dict[str, str]:
    """Letter -> analyst, in an order that changes with the figures: nobody can tell from it who wrote what."""
    shuffled = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    return {chr(ord("A") + number): name for number, name in enumerate(shuffled)}


def _struck(flawed: list[tuple[Sentence, list[Flaw]]]) -> tuple[StruckSentence, ...]:
    return tuple(StruckSentence(sentence=one, flaws=tuple(flaws)) for one, flaws in flawed)

