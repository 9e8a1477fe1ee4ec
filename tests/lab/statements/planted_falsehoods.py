"""False sentences about any snapshot, by kind: what a model might write and no report may print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from quantum_trader.lab.metrics.metric import BetterWhen, Unit
from quantum_trader.lab.metrics.rendering import metric_text
from quantum_trader.lab.metrics.values import WHOLE, MetricKey, MetricSnapshot
from quantum_trader.lab.statements.claims import BoundClaim, day_before, is_signed, is_true
from quantum_trader.lab.statements.language import Claim, ClaimRelation, Sentence

ENGLISH = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "nineteen", "twenty", "thirty", "forty-five", "fifty", "ninety-nine", "hundred", "thousand",
    "million", "billion", "dozen", "half", "twice", "thrice", "double", "triple", "quadruple", "first",
    "second", "third", "tenth", "single", "couple", "pair", "both", "nil", "hundreds", "thousands", "tenfold",
    "twofold", "several", "few", "many", "once", "quarter",
]
LATIN = {  # in the letters A to Z; those with other letters are refused for them
    "German": "zwei drei vier sieben acht neun zehn elf zwanzig hundert tausend",
    "French": "deux trois quatre cinq sept huit neuf dix vingt cent mille",
    "Spanish": "dos tres cuatro cinco siete ocho nueve diez veinte cien mil",
    "Portuguese": "dois quatro cinco sete oito nove dez vinte cem",
    "Italian": "tre quattro cinque sette otto nove dieci venti cento mille",
    "Dutch": "twee drie vier vijf zeven acht negen tien honderd duizend",
    "Swedish": "tva fyra fem sju nio tio hundra tusen",
    "Polish": "dwa trzy cztery siedem osiem dziesiec tysiac",
    "Turkish": "iki dort yedi sekiz dokuz yirmi",
    "Indonesian": "satu dua tiga empat lima enam tujuh delapan sembilan",
    "Finnish": "kaksi kolme nelja viisi kuusi kahdeksan",
    "Hungarian": "ketto harom negy hat nyolc kilenc",
    "Japanese": "ichi roku hachi juu hyaku sen",
    "Chinese": "liang liu qi jiu shi bai qian",
    "Swahili": "mbili tatu nne tano saba nane",
    "Latin": "decem viginti centum",
}
SCRIPTS = {
    "Russian": "ноль один два три пять десять сто тысяча", "Greek": "ένα δύο τρία πέντε δέκα εκατό",

    "Arabic": "واحد اثنان ثلاثة خمسة عشرة مئة", "Hebrew": "אחת שתיים שלוש חמש עשר",
    "Hindi": "एक दो तीन पाँच दस सौ", "Chinese": "一 二 三 五 十 百 千 萬",
    "Japanese": "いち に さん ごじゅう",
    "Korean": "하나 둘 셋 다섯 열",
    "Thai": "หนึ่ง สอง สาม สิบ", "Bengali": "এক দুই তিন দশ", "Tamil": "ஒன்று இரண்டு பத்து",
    "Georgian": "ერთი ორი ათი", "Armenian": "մեկ երկու տաս", "Amharic": "አንድ ሁለት አስር",
    "Vietnamese": "một hai bốn năm mười", "Czech": "čtyři pět šest sedm",
}
DIGITS = [
    "7", "12", "1,000", "0.5", "3.14", "1e3", "0x1F", "1/2", "10x", "5k", "٧", "١٢", "७", "১২", "๕", "７", "１２", "①",
    "⑫",
    "❼", "⓬", "²", "x³", "₅", "½", "¾", "Ⅳ", "Ⅻ", "ⅷ", "7\ufe0f\u20e3", "\U0001f51f", "𝟕", "𝟙𝟚", "〇", "㊿", "Ⅼ", "𐄇",
    "᠒", "௧", "៧", "༧", "Ⅽ",
]
ROMAN = ["IV", "VII", "XII", "XL", "MCM", "II", "III", "xii", "iv", "V", "X", "C"]
HIDDEN = [
    "\u200b", "\u200d", "\u202e", "\u2066", "\ufeff", "\u00ad", "\u0301",
    "\u2800", "\U000e0037", "\x1b[31m", "\t", "\n",
]
MARKUP = [
    "**{text}**", "[{text}](http://x.example/y)", "<b>{text}</b>", "<span title='won 7'>{text}</span>", "`{text}`",
    "| {text} | 7 |", "# {text}", "> {text}", "{text} <!-- 7 -->", "![7](x) {text}", "&#55; {text}", "$7$ {text}",
    "~~{text}~~", "{text}\n| a | b |", "<script>alert(7)</script> {text}", "\\u0037 {text}", "%37 {text}", "*{text}*",
]
DATES = [
    "on Monday", "on friday", "in March", "in november", "last week", "this month", "a year ago", "tomorrow",
    "over the weekend", "since 2026", "on 27 November", "last quarter", "in the decade", "on christmas", "at midnight",
]
UNITS = ["percent", "USDT", "dollars", "basis points", "bps", "hours", "seconds", "%", "euros", "R", "x", "pips"]
AMOUNTS = [
    "nearly", "almost", "roughly", "approximately", "about", "around", "over", "under", "some", "minus", "plus",
    "another", "an additional", "negative", "beyond", "-", "+", "~", "<", ">", "≈", "−",
    "per", "every", "not",
]
MULTIPLIERS = ["thousand", "million", "k", "hundred", "times", "fold", "M", "bn", "% more", "x"]
OPPOSITES = {
    ClaimRelation.ROSE: "fell", ClaimRelation.FELL: "rose", ClaimRelation.IMPROVED: "worsened",
    ClaimRelation.WORSENED: "improved", ClaimRelation.UNCHANGED: "rose",
    ClaimRelation.ABOVE_TARGET: "below its target", ClaimRelation.BELOW_TARGET: "above its target",
}

Planted = tuple[str, Sentence]


def claim(left: MetricKey | str, relation: ClaimRelation, right: MetricKey | str = "") -> Claim:
    """A claim of figures as they are written."""
    return Claim(left=str(left), relation=relation, right=str(right))


def sentence(text: str, *claims: Claim) -> Sentence:
    """A sentence with its claims."""
    return Sentence(text=text, claims=claims)


def overall(snapshot: MetricSnapshot, day: str = "") -> list[MetricKey]:
    """Figures of a day without a filter that have data."""
    wanted = day or snapshot.day
    found = [one.key for one in snapshot if one.key.day == wanted and not one.key.where and one.value is not None]
    return sorted(found)


def noun(snapshot: MetricSnapshot, key: MetricKey) -> str:
    """What the metric of *key* is called first."""
    return snapshot.metrics[key.metric].nouns[0]


def of_words(snapshot: MetricSnapshot) -> Iterator[Planted]:
    """Numbers typed in digits and words, in a place where a figure would stand."""
    key = overall(snapshot)[0]
    subject = noun(snapshot, key)
    for one in DIGITS:
        yield "digits", sentence(f"The {subject} was {one} on this day.")
    for one in ROMAN:
        yield "Roman numerals", sentence(f"The {subject} was {one} on this day.")
    for one in ENGLISH:
        yield "English number words", sentence(f"The bot closed {one} positions on this day.")
        yield "English number words", sentence(f"The {subject} of {{{key}}} came from {one} positions.")
    for language, words in LATIN.items():
        for one in words.split():
            yield f"number words in Latin letters: {language}", sentence(f"The bot closed {one} positions today.")
    for language, words in SCRIPTS.items():
        for one in words.split():
            yield f"number words in other letters: {language}", sentence(f"The bot closed {one} positions today.")
    for one in DATES:
        yield "typed dates", sentence(f"The {subject} was {{{key}}} {one}.")


def of_nouns(snapshot: MetricSnapshot) -> Iterator[Planted]:
    """Figures called by another metric's noun."""
    keys = overall(snapshot)
    for one in keys:
        for other in keys:
            if noun(snapshot, other) not in snapshot.metrics[one.metric].nouns:
                yield "another metric's noun", sentence(f"The {noun(snapshot, other)} was {{{one}}}.")
    for one, other in pairwise(keys):
        yield "two nouns swapped", sentence(
            f"With a {noun(snapshot, one)} of {{{other}}} the {noun(snapshot, other)} was {{{one}}}."
        )
        yield "a figure without its noun", sentence(f"It was {{{one}}}.")


def of_references(snapshot: MetricSnapshot) -> Iterator[Planted]:
    """Figures that the snapshot does not have."""
    for key in overall(snapshot):
        subject = noun(snapshot, key)
        for text in (f"{key.metric}_x", key.metric.upper(), f"{key.metric}@1999-01-01", f"{key.metric}@2099-12-31",
                     f"{key.metric}|mode=moon", f"{key.metric}|planet=mars", f"{key.metric}@yesterday",
                     f"{key.metric} + 7",
                     f"{key.metric}:.2f", f"{{{key.metric}}}", f"{key.metric}|mode=scalp,mode=trend",
                     f"{key.metric}.value"):
            yield "unknown figures", sentence(f"The {subject} was {{{text}}}.")
    yield "unknown figures", sentence("The {symbol=MOONUSDT} market was calm.")
    yield "unknown figures", sentence("On {date@1999-01-01} the market was calm.")


def of_days(snapshot: MetricSnapshot) -> Iterator[Planted]:
    """Figures of one day said of another."""
    for old in overall(snapshot, day_before(snapshot.day)):
        subject = noun(snapshot, old)
        yield "a stale day", sentence(f"Today the {subject} was {{{old}}}.")
        yield "a stale day", sentence(f"Today's {subject} was {{{old}}}.")
        yield "a stale day", sentence(f"On {{date@{snapshot.day}}} the {subject} was {{{old}}}.")
        yield "a stale day", sentence(f"Yesterday the {subject} was {{{MetricKey(old.metric, snapshot.day)}}}.")


def of_comparisons(snapshot: MetricSnapshot) -> Iterator[Planted]:
    """Comparing words without a claim, with a false one, or against a true one."""
    for key in overall(snapshot):
        subject, before = noun(snapshot, key), MetricKey(key.metric, day_before(key.day))
        if snapshot.of(before) is None:
            continue
        for relation, word in (
            (ClaimRelation.ROSE, "rose"), (ClaimRelation.FELL, "fell"), (ClaimRelation.IMPROVED, "improved"),
            (ClaimRelation.WORSENED, "worsened"), (ClaimRelation.UNCHANGED, "was unchanged"),
        ):
            truth = is_true(BoundClaim(relation=relation, left=key, right=before), snapshot)
            yield "a comparison without a claim", sentence(f"The {subject} {word} to {{{key}}}.")
            if truth:
                wrong = OPPOSITES[relation]
                yield "a word against its claim", sentence(f"The {subject} {wrong} to {{{key}}}.", claim(key, relation))
                yield "a denied comparison", sentence(
                    f"The {subject} of {{{key}}} never {word.removeprefix('was ')}.", claim(key, relation))
                yield "sides swapped", sentence(
                    f"The {subject} {word} to {{{before}}} from {{{key}}}.", claim(key, relation))
            else:
                yield "a false claim", sentence(f"The {subject} {word} to {{{key}}}.", claim(key, relation))
                yield "a false claim", sentence(f"The {subject} was {{{key}}}.", claim(key, relation))
        yield from _of_factors(snapshot, key, before)
    yield from _of_two_metrics(snapshot)


def _of_factors(snapshot: MetricSnapshot, key: MetricKey, before: MetricKey) -> Iterator[Planted]:
    subject = noun(snapshot, key)
    for relation, words in (
        (ClaimRelation.TWICE, "twice"), (ClaimRelation.MORE_THAN_TWICE, "more than twice"),
        (ClaimRelation.HALF, "half"), (ClaimRelation.LESS_THAN_HALF, "less than half"),
    ):
        text = f"The {subject} of {{{key}}} was {words} that of the previous day."
        if not is_true(BoundClaim(relation=relation, left=key, right=before), snapshot):
            yield "a false factor", sentence(text, claim(key, relation))
            more = [one for one in (ClaimRelation.ABOVE, ClaimRelation.BELOW, ClaimRelation.TWICE, ClaimRelation.HALF)
                    if is_true(BoundClaim(relation=one, left=key, right=before), snapshot)]
            yield "a false factor", sentence(text, *(claim(key, one, before) for one in more))
        yield "a false factor", sentence(text.replace(words, "three times"))


def _of_two_metrics(snapshot: MetricSnapshot) -> Iterator[Planted]:
    """A claim of one metric lent to another in the same clause."""
    rising = [key for key in overall(snapshot) if _holds(snapshot, key, ClaimRelation.ROSE)]
    falling = [key for key in overall(snapshot) if _holds(snapshot, key, ClaimRelation.FELL)]
    for up, down in zip(rising, falling, strict=False):
        claims = (claim(up, ClaimRelation.ROSE), claim(down, ClaimRelation.FELL))
        yield "a claim lent to another metric", sentence(
            f"With a {noun(snapshot, up)} of {{{up}}} the {noun(snapshot, down)} rose to {{{down}}}.", *claims)
        yield "a claim lent to another metric", sentence(
            f"The {noun(snapshot, up)} fell to {{{up}}} and the {noun(snapshot, down)} rose to {{{down}}}.", *claims)


def _holds(snapshot: MetricSnapshot, key: MetricKey, relation: ClaimRelation) -> bool:
    before = MetricKey(key.metric, day_before(key.day), key.where)
    return snapshot.of(before) is not None and is_true(BoundClaim(relation=relation, left=key, right=before), snapshot)


def of_extremes(snapshot: MetricSnapshot) -> Iterator[Planted]:
    """The best that is not, and the best of something else."""
    for metric, dimension, keys in groups(snapshot):
        for relation in (ClaimRelation.BEST, ClaimRelation.WORST, ClaimRelation.HIGHEST, ClaimRelation.LOWEST):
            for key in keys:
                name = dict(key.where)[dimension]
                text = f"The {relation} {metric} was {{{key}}} in {{{dimension}={name}}}."
                bound = BoundClaim(relation=relation, left=key, over=dimension, among=tuple(keys))
                yield "an extreme without a claim", sentence(text)
                if not is_true(bound, snapshot):
                    yield "a false extreme", sentence(text, claim(key, relation))
                else:
                    other = next(one for one in keys if one != key)
                    wrong = dict(other.where)[dimension]
                    yield "an extreme of another name", sentence(
                        f"The {relation} {metric} was {{{key}}} in {{{dimension}={wrong}}}.", claim(key, relation))
                    yield "an extreme of another kind", sentence(
                        f"The {relation} {metric} of any day was {{{key}}} in {{{dimension}={name}}}.",
                        claim(key, relation))


def groups(snapshot: MetricSnapshot) -> Iterator[tuple[str, str, list[MetricKey]]]:
    """(noun, dimension, figures of the day by that dimension alone), where there are several with data."""
    found: dict[tuple[str, str], list[MetricKey]] = {}
    for one in snapshot:
        if one.key.day == snapshot.day and len(one.key.where) == 1 and one.value is not None:
            found.setdefault((one.key.metric, one.key.where[0][0]), []).append(one.key)
    for (metric, dimension), keys in sorted(found.items()):
        if len(keys) > 1:
            yield snapshot.metrics[metric].nouns[0], dimension, sorted(keys)


def of_names(snapshot: MetricSnapshot) -> Iterator[Planted]:
    """A figure of one name said of another, or of all said of one."""
    for subject, dimension, keys in groups(snapshot):
        one, other = keys[0], keys[1]
        name, wrong = dict(one.where)[dimension], dict(other.where)[dimension]
        whole = MetricKey(one.metric, one.day)
        for text in (
            f"The {subject} of {{{dimension}={name}}} was {{{other}}}.",
            f"In {{{dimension}={name}}} the {subject} was {{{whole}}}.",
            f"The {subject} was {{{one}}} in {{{dimension}={wrong}}} and {{{other}}} in {{{dimension}={name}}}.",
            f"{{{dimension}={name}}} had a calm day, and the {subject} was {{{whole}}}.",
            f"The {subject} of {wrong.lower()} was {{{one}}}.",
        ):
            yield "another name", sentence(text)


def of_signs_and_units(snapshot: MetricSnapshot) -> Iterator[Planted]:
    """Gains called losses, and units that are not the figure's."""
    for one in snapshot:
        metric = snapshot.metrics[one.key.metric]
        if one.key.day != snapshot.day or one.value is None:
            continue
        text, scope = f"{{{one.key}}}", "".join(f" in {{{name}={value}}}" for name, value in one.key.where)
        if is_signed(metric) and metric_text(one.value, metric.unit) != metric_text(0.0, metric.unit):
            noun_, verb, other = ("a loss", "lost", "a deficit") if one.value > 0 else ("a gain", "won", "earned")
            yield "a swapped sign", sentence(f"The day ended with {noun_} of {text}{scope}.")
            yield "a swapped sign", sentence(f"The bot {verb} {text}{scope}.")
            yield "a swapped sign", sentence(f"The {metric.nouns[0]} of {text}{scope} was {other}.")
        if not one.key.where:
            for unit in UNITS:
                yield "a typed unit", sentence(f"The {metric.nouns[0]} was {text} {unit}.")
            for before in AMOUNTS:
                yield "another amount", sentence(f"The {metric.nouns[0]} was {before} {text}.")
            for behind in MULTIPLIERS:
                yield "a multiplier", sentence(f"The {metric.nouns[0]} was {text} {behind}.")


def of_splits(snapshot: MetricSnapshot) -> Iterator[Planted]:
    """One number made of two figures, marks, or sentences."""
    keys = overall(snapshot)
    for one, other in pairwise(keys):
        subject = noun(snapshot, one)
        for glue in ("", ".", ",", "-", " ", "/", "e", " . ", "'", ":", ", ", "–", " to the power of "):
            yield "numbers put together", sentence(f"The {subject} was {{{one}}}{glue}{{{other}}}.")
        for text in (
            f"The {subject} was forty. Seven more than {{{one}}}.",
            f"The {subject} was {{{one}}}. Times ten.",
            f"The {subject} was {{{one}}}. Rather: {{{other}}}.", f"The {subject} was s e v e n.",
            f"The {subject} was se-ven, {{{one}}}.", f"The {subject} was {{{one}}} thou sand.",
            f"The {subject} was {{{one}}}!  Thousand.",
            f"the {subject} was {{{one}}}", f"The {subject} was ${{{one}}}.",
            f"The {subject} was {{{one}}}%.", f"The {subject} was 1{{{one}}}.", f"The {subject} was {{{one}}}0.",
            f"The {subject} was x{{{one}}}.", f"The {subject} was ({{{one}}}).".replace("(", "(-"),
        ):
            yield "numbers split", sentence(text)


def of_markup(snapshot: MetricSnapshot) -> Iterator[Planted]:
    """Numbers hidden in mark-up, links, tables, and signs that nobody sees."""
    for key in overall(snapshot)[:4]:
        text = f"The {noun(snapshot, key)} was {{{key}}}."
        for frame in MARKUP:
            yield "mark-up", sentence(frame.replace("{text}", text))
        for sign in HIDDEN:
            yield "hidden signs", sentence(text.replace(" was", f"{sign} was"))
            yield "hidden signs", sentence(text.replace("was ", f"was se{sign}ven "))
        for false, true in (("а", "a"), ("е", "e"), ("о", "o"), ("ѕ", "s"), ("і", "i"), ("ᴀ", "a"), ("ο", "o")):
            yield "look-alike letters", sentence(f"It won twelv{false} and tw{false} more.".replace(true, false))
            yield "look-alike letters", sentence(text.replace("The", f"Th{false}"))


def of_judgements(snapshot: MetricSnapshot) -> Iterator[Planted]:
    """Targets, luck, conditions and other figures than the metric's own."""
    for key in overall(snapshot):
        subject, metric = noun(snapshot, key), snapshot.metrics[key.metric]
        for word in ("average", "median", "net", "gross", "cumulative", "long", "rejected"):
            if word not in subject.split():
                yield "another figure of the same noun", sentence(f"The {word} {subject} was {{{key}}}.")
        for word in ("will be", "would have been", "could be", "might be", "should be"):
            yield "what was not", sentence(f"The {subject} {word} {{{key}}}.")
        for word in ("strong", "poor", "excellent", "weak", "above its target", "below its target", "on target"):
            yield "a judgement without a claim", sentence(f"The {subject} of {{{key}}} was {word}.")
        if metric.target is not None and metric.direction is not BetterWhen.NEITHER:
            for relation, words in (
                (ClaimRelation.ABOVE_TARGET, "above its target"), (ClaimRelation.BELOW_TARGET, "below its target"),
                (ClaimRelation.MEETS_TARGET, "good"), (ClaimRelation.MISSES_TARGET, "poor"),
            ):
                holds = is_true(BoundClaim(relation=relation, left=key), snapshot)
                if not holds:
                    yield "a false judgement", sentence(
                        f"The {subject} of {{{key}}} was {words}.", claim(key, relation))
                elif relation in OPPOSITES:
                    yield "a judgement against its claim", sentence(
                        f"The {subject} of {{{key}}} was {OPPOSITES[relation]}.", claim(key, relation))
        yield from _of_luck(snapshot, key)


def _of_luck(snapshot: MetricSnapshot, key: MetricKey) -> Iterator[Planted]:
    subject = noun(snapshot, key)
    for relation, words in (
        (ClaimRelation.SIGNIFICANT, "significant"), (ClaimRelation.NOT_SIGNIFICANT, "not significant"),
    ):
        text = f"The {subject} of {{{key}}} was {words}."
        if not is_true(BoundClaim(relation=relation, left=key), snapshot):
            yield "false significance", sentence(text, claim(key, relation))
        else:
            other = "not significant" if words == "significant" else "significant"
            yield "false significance", sentence(f"The {subject} of {{{key}}} was {other}.", claim(key, relation))
    found = snapshot.of(key)
    if found is not None and found.value != 0.0 and snapshot.metrics[key.metric].unit is Unit.COUNT:
        yield "nothing where there is something", sentence(f"No {subject} was seen.")
        yield "nothing where there is something", sentence(f"No {subject} was seen.", claim(key, ClaimRelation.NONE))
    for word in ("All", "Most", "No", "Every"):
        yield "all and none without a claim", sentence(f"{word} {subject} was fine.".replace("fine", "as planned"))


def of_amounts(snapshot: MetricSnapshot) -> Iterator[Planted]:
    """A level said to be a change, a distance, a rate, a part, a limit, or what somebody else has."""
    for key in overall(snapshot):
        subject, before = noun(snapshot, key), MetricKey(key.metric, day_before(key.day))
        text, claims = f"{{{key}}}", []
        for relation in (ClaimRelation.ROSE, ClaimRelation.FELL, ClaimRelation.ABOVE, ClaimRelation.BELOW):
            if snapshot.of(before) is not None and _holds(snapshot, key, relation):
                claims.append(claim(key, relation))
        for words in ("rose by", "fell by", "changed by", "rose", "was up", "was down", "saw a rise of"):
            yield "a change of a level", sentence(f"The {subject} {words} {text}.", *claims)
        for words in ("above its target", "higher than the day before", "lower than the day before", "off"):
            yield "a distance of a level", sentence(f"The {subject} was {text} {words}.", *claims)
        for words in ("more than", "less than", "above", "below", "close to", "near", "at least", "at most", "within"):
            yield "a bound of a level", sentence(f"The {subject} was {words} {text}.", *claims)
        for words in ("a day", "a trade", "an hour", "each day", "a session"):
            yield "a rate", sentence(f"The {subject} was {text} {words}.")
        for words in ("the account", "the market", "all positions"):
            yield "a part", sentence(f"The {subject} was {text} of {words}.")
        for words in ("the market", "a rival", "the exchange", "an expert"):
            yield "somebody else's", sentence(f"The {subject} of {words} was {text}.")
        for words in ("It is false that the {0} was {1}.", "The {0} of {1} is imaginary.",
                      "The {0} was {1}, which is wrong.",
                      "Contrary to the truth, the {0} was {1}.", "The {0} of {1} was inverted.",
                      "The {0} has a limit of {1}.", "The {0} is headed to {1}.", "The {0} was {1} in the morning."):
            yield "taken back", sentence(words.format(subject, text))
        if snapshot.metrics[key.metric].unit is Unit.COUNT:
            for words in ("liquidated", "ignored", "lost", "hedged"):
                if words not in subject:
                    yield "a part of a count", sentence(f"{text} {subject} were {words}.")
                    yield "a part of a count", sentence(f"The {words} {subject} numbered {text}.")
        for words in ("tanked", "dived", "rocketed", "narrowed", "widened", "bounced", "tightened", "exploded"):
            yield "a change without a claim", sentence(f"The {subject} {words} to {text}.")
        for words in ("normal", "unusual", "extreme", "severe", "supreme", "unprecedented", "expensive", "similar"):
            yield "a judgement without a claim", sentence(f"The {subject} was {words} at {text}.")
        if claims:
            word = "rose" if claims[0].relation is ClaimRelation.ROSE else "fell"
            yield "a change of another day", sentence(f"Yesterday the {subject} {word}.", *claims[:1])


def whole_span_as_day(snapshot: MetricSnapshot) -> Iterator[Planted]:
    """Figures of the whole span said of the day."""
    for one in snapshot:
        if one.key.day == WHOLE and not one.key.where and one.value is not None:
            yield "the span as a day", sentence(f"Today the {noun(snapshot, one.key)} was {{{one.key}}}.")
            yield "the span as a day", sentence(
                f"On {{date@{snapshot.day}}} the {noun(snapshot, one.key)} was {{{one.key}}}.")


def planted(snapshot: MetricSnapshot) -> Iterable[Planted]:
    """Every planted falsehood over *snapshot*, with its kind."""
    for kind in (
        of_words, of_nouns, of_references, of_days, of_comparisons, of_extremes, of_names, of_signs_and_units,
        of_splits, of_markup, of_judgements, of_amounts, whole_span_as_day,
    ):
        yield from kind(snapshot)
