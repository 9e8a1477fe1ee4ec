"""Words of statements: the closed vocabulary, and the words whose truth is checked.

A sentence is written with the words of ``data/statement_words.txt`` (common English), the catalogue's own nouns and the
trade's words below. What is in none of them is refused, so that no number word of another language, no misspelt one and
no name gets in. Of the English ones, those below are refused or must rest on a claim or on a value.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from quantum_trader.lab.statements.language import ClaimRelation


def word_set(text: str) -> frozenset[str]:
    """The words of *text*, which spaces part."""
    return frozenset(text.split())


@cache
def vocabulary() -> frozenset[str]:
    """Every word that a sentence may use, in small letters."""
    text = files("quantum_trader").joinpath("data", "statement_words.txt").read_text(encoding="ascii")
    listed = frozenset(line for line in text.splitlines() if line and not line.startswith("#"))
    return listed.union(
        TRADE_WORDS, RELATIONS_OF, NUMBER_WORDS, VAGUE_WORDS, APPROXIMATIONS, ARITHMETIC, DATE_WORDS, UNIT_WORDS,
        QUALIFIERS, GAIN_WORDS, LOSS_WORDS, NEGATIONS, CONDITIONS,
    )


TRADE_WORDS: Final = word_set("""
    annualised annualized backtest backtests breakeven calibrated calibration cooldown covariate crypto drawdown
    drawdowns entries exits expectancy futures hedged hedging illiquid intraday leveraged liquidated liquidation
    liquidations liquidity longs maker mispriced notional outliers outlier overfit overfitting overtrading perpetual
    perpetuals payoff payoffs pilot positioning quantile rebalance rebalanced retrain retrained retraining setups setup
    shorts slippage stop stops taker threshold thresholds timeframe trader traders trending underwater unhedged
    paired unrealised unrealized realised realized volatility whipsaw whipsaws whipsawed workflow dashboard
    aren't can't couldn't didn't doesn't don't hadn't hasn't haven't isn't it's let's mustn't needn't shouldn't that's
    there's wasn't weren't what's won't wouldn't
""")
CAPITALS: Final = word_set("AI API ATR ADX AUC EMA PNL ROI RSI SQL UTC")  # written in capitals throughout

# ---- refused wherever they stand -------------------------------------------------------------------------------------
_ONES: Final = tuple(word_set("one two three four five six seven eight nine"))
_TEENS: Final = tuple(word_set("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"))
_TENS: Final = tuple(word_set("twenty thirty forty fifty sixty seventy eighty ninety"))
_POWERS: Final = tuple(word_set("hundred thousand million billion trillion quadrillion dozen"))
_ORDINALS: Final = word_set("""
    first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
    fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth fortieth fiftieth sixtieth seventieth
    eightieth ninetieth hundredth thousandth millionth billionth
""")
NUMBER_WORDS: Final = frozenset(
    [
        *_ONES, *_TEENS, *_TENS, *_POWERS, *_ORDINALS,
        *(f"{one}s" for one in (*_ONES, *_TEENS, *_POWERS)), *(f"{one[:-1]}ies" for one in _TENS),
        *(f"{one}s" for one in _ORDINALS if one != "second"),
        *(f"{one}fold" for one in (*_ONES, *_TEENS, *_TENS, *_POWERS)),
        *(f"{one}ly" for one in _ORDINALS), "sixes", "hundredfold", "thousandfold",
    ]
) | word_set("""
    zero zeros nil null once single singles sole solely lonely both couple couples pair pairs twin twins dual triple
    quarter quarters ones oneself decimal digit digits numeral numerals ace cent once grand fiver quid trilogy trinity
    solo
""")
VAGUE_WORDS: Final = word_set("""
    few several many numerous countless handful handfuls plenty lot lots bunch bunches multiple multiples multitude
    dozens scores fraction fractions chunk chunks penny pennies pence buck bucks much somewhat moderately
    mildly hugely vastly enormously immensely massively drastically radically tremendously profoundly noticeably heavily
    heap heaps ton tons innumerable manifold slight slightly minor negligible modest modestly marginal
    marginally insignificantly substantial substantially considerable considerably greatly dramatic dramatically
    sharply steeply markedly strongly
""")
APPROXIMATIONS: Final = word_set("""
    nearly almost approximately approximate roughly circa approaching bordering near nears nearing neared thereabouts
    somewhere approximates approximating
""")
ARITHMETIC: Final = word_set("""
    minus plus times multiplied multiply multiplying divided divide squared cubed subtracted subtract added summed
    combined respectively former latter versa
""")
DATE_WORDS: Final = word_set("""
    january february march april june july august september october november december
    monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays saturdays
    sundays week weeks weekly weekend weekends weekday weekdays fortnight fortnightly month months monthly quarterly
    year years yearly annual annually decade decades century centuries millennium tomorrow ago tonight overnight
    christmas easter spring summer autumn winter noon midnight morning mornings afternoon afternoons evening evenings
    night nights nightly midday dawn daytime lunchtime recently lately
""")
UNIT_WORDS: Final[dict[str, str]] = {  # word -> the unit it may speak of where it does not stand beside a figure
    **dict.fromkeys(word_set("percent percentage percentages percents"), "share"),
    **dict.fromkeys(word_set("dollar dollars euro euros pound pounds yen currency"), "USDT"),
    **dict.fromkeys(word_set("point points basis pip pips"), "bps"),
    **dict.fromkeys(word_set("second's seconds millisecond milliseconds microsecond microseconds"), "s"),
    **dict.fromkeys(word_set("minute minutes"), "s"),
    **dict.fromkeys(word_set("hour hours hourly"), "h"),
    **dict.fromkeys(word_set("byte bytes kilobyte kilobytes megabyte megabytes gigabyte gigabytes"), "B"),
    **dict.fromkeys(word_set("degree degrees inch inches ounce ounces gram grams kilo kilos mile miles"), ""),
}
BEFORE_A_FIGURE: Final = word_set("""
    about around some over under beyond past up to-up negative positive further another additional extra every per
    unlike not no near most least until towards toward within
""")

QUALIFIERS: Final = word_set("""
    average mean median gross net rolling cumulative daily long short longs shorts rival rivals competitor competitors
    opponent opponents open opened rejected blocked
    refused allowed accepted filled unfilled raw adjusted annualised annualized live paper shadow intraday partial
    manual theoretical simulated estimated actual hypothetical excluding except without including besides
""")  # of a figure, unless the metric's own noun has them: they would make it another figure

# ---- checked against the values of the clause ------------------------------------------------------------------------
GAIN_WORDS: Final = word_set("""
    gain gains gained gaining profit profits profited profitable profitably earn earns earned earning earnings
    win wins winning won positive winner winners reward rewarded rewards surplus killing black green income incomes
""")
LOSS_WORDS: Final = word_set("""
    loss losses lose loses losing lost negative unprofitable loser losers deficit bled bleed bleeding forfeited
    squandered red bankrupt bankrupted
""")
RESULT_WORDS: Final = word_set("""
    earned lost made gained earn lose earns loses makes make brought returned yielded won gain loss profit generated
    produced delivered contributed detracted profitable unprofitable deficit surplus
""")  # what a result may be called where its metric's noun is not written
SPAN_WORDS: Final = word_set("the this its a whole entire full span day time period session sample history")
SPANS: Final = word_set("span day time period session sample history")  # "over the whole span" compares nothing
TODAY, YESTERDAY = word_set("today"), word_set("yesterday")
BEFORE_DAY: Final = word_set("previous prior preceding before")

NEGATIONS: Final = word_set("""
    not never neither nor without hardly barely scarcely cannot fail fails failed failing unable lack lacks lacked
    instead no none nothing unlikely
""")
ADVICE: Final = word_set("should must can shall may might cannot")  # may follow a figure
CONDITIONS: Final = ADVICE | word_set("""
    will would could until expect expects expected likely forecast forecasts predict predicts
    predicted probably hopefully if unless potential potentially possibly perhaps maybe seem seems seemed supposedly
    allegedly appears otherwise headed heading
""")


class WordClass(msgspec.Struct, frozen=True, kw_only=True):
    """Comparing words, and the claims that they may rest on."""

    name: str
    words: frozenset[str]
    relations: frozenset[ClaimRelation]


def _class(name: str, relations: str, text: str) -> WordClass:
    return WordClass(name=name, words=word_set(text), relations=frozenset(map(ClaimRelation, relations.split())))


_COMPARATIVES: Final = """
    higher:more lower:less greater:more larger:more bigger:more smaller:less longer:more shorter:less faster:less
    slower:more quicker:less wider:more narrower:less tighter:less heavier:more lighter:less deeper:more shallower:less
    stronger:better weaker:worse richer:better poorer:worse safer:better riskier:worse healthier:better calmer:less
    busier:more quieter:less cheaper:less dearer:more costlier:more older:more younger:less newer:less steeper:more
    thinner:less thicker:more fewer:less hotter:more colder:less warmer:more cooler:less taller:more closer:less
    sharper:more smoother:less rougher:more softer:less harder:more milder:less tougher:worse finer:less denser:more
    sicker:worse fuller:more emptier:less earlier:less later:more nearer:less farther:more further:more wilder:more
    fatter:more slimmer:less nicer:better uglier:worse happier:better sadder:worse luckier:better
"""


def _comparatives(kind: str, ending: str = "er") -> str:
    words = [one.split(":")[0] for one in _COMPARATIVES.split() if one.endswith(f":{kind}")]
    return " ".join(word.removesuffix("er") + ending for word in words)


CLASSES: Final = (
    _class("rise", "rose", """
        rose rise rises risen rising increase increases increased increasing increasingly grew grow grows grown
        growing growth climb climbs climbed climbing jump jumps jumped jumping surge surges surged surging soar
        soars soared soaring rally rallied rallies advance advanced advances up upward upwards upturn uptick
        leap leapt leaped expand expanded expands expansion swell swelled swollen rebound rebounded rebounds
        ascend ascended lift lifted raised raise raises raising boost boosted boosting boosts enlarge enlarged enlarges
        enlarging rocket rocketed rocketing rockets zoom zoomed exploded explode explodes exploding bounce bounced
        bounces bouncing widened widening widens lengthened lengthens lengthening inflation increment increments
        heighten heightened accelerate accelerated spike spiked spikes
        escalate escalated mount mounted mounting balloon ballooned gather doubling upsurge inflated elevated
        swung boom boomed booming burgeoning accelerates accelerating advancing ascending ascends ballooning
        balloons booms escalates escalating expanding expansions heightening heightens leaping leaps lifting
        lifts mounts rallying rebounding spiking swelling swells
    """),
    _class("fall", "fell", """
        fell fall falls fallen falling decrease decreases decreased decreasing drop drops dropped dropping
        decline declines declined declining sink sinks sank sunk sinking slide slid slides sliding slip slips
        slipped slipping shrink shrinks shrank shrunk shrinking shrinkage plunge plunged plunges plunging
        plummet plummeted tumble tumbled slump slumped down downward downwards downturn reduced diminish
        diminished diminishes dwindle dwindled lowered crash crashed collapse collapsed dip dips dipped
        contracted contraction ebb ebbed subside subsided descend descended cut cuts reduce reduces reducing reduction
        reductions lowering lowers dive dived dives diving
        vanish vanished vanishes vanishing disappear disappeared disappears disappearing tank tanked tanking narrow
        narrowed narrowing narrows shorten shortened shortening shortens tighten tightened
        tightening tightens slow slowed slowing slows sagged shed shedding sheds lessen lessened eased ease
        easing decelerate decelerated recede receded retreat retreated halving trimmed curbed waned wane fading
        faded dampened bust busted collapses collapsing contractions crashes crashing cutting descending
        descends diminishing dipping dwindles dwindling eases ebbing ebbs lessening lessens plummeting plummets
        recedes receding retreating retreats slumping slumps subsides subsiding tumbles tumbling wanes waning
    """),
    _class("same", "unchanged equal", """
        unchanged flat same equal equals equally equalled steady steadily constant constantly stable identical
        matched match matches matching stagnant stagnated similar similarly comparable alike akin equivalent equality
        unaltered unvarying static constants equaled equaling
        equalling identically steadied steadies steadying
    """),
    _class("change", "rose fell improved worsened", """
        change changes changed changing shift shifted shifts vary varied varies differ differs differed
        different difference differences moved reversed reversal differently reversals shifting varying reverse
        reverses reversing swing swinging swings
        fluctuation fluctuations variation variations alter altered altering alters alteration alterations flip flipped
        flipping flips revert reverted reverting reverts movement movements
    """),
    _class("improvement", "improved", """
        improve improves improved improving improvement improvements recover recovered recovers recovery
        recovering strengthen strengthened strengthening enhance enhanced bettered progress progressed heal
        healed enhances enhancing healing heals progresses progressing recoveries strengthens
    """),
    _class("worsening", "worsened", """
        worsen worsens worsened worsening deteriorate deteriorated deteriorates deteriorating deterioration
        weaken weakened weakening weakens degrade degraded degrading suffer suffered suffers erode eroded
        erosion decay decayed decays slackened decaying degrades erodes eroding
    """),
    _class("more", "above rose above_target more_than_twice", f"""
        more above exceed exceeds exceeded exceeding surpass surpassed surpasses outweigh outweighed outweighs
        topped outpace outpaced outnumber outnumbered excess excessive over exceedingly excesses excessively outweighing
        surpassing {_comparatives("more")}
    """),
    _class("less", "below fell below_target less_than_half", f"""
        less below beneath under trailing lesser undershot {_comparatives("less")}
    """),
    _class("better", "better improved meets_target", f"""
        better superior beat beats beaten beating outperform outperformed outperforms outperforming ahead lead
        leads led leading preferable favourable favorable outdid eclipsed dominated dominates defeated favorably
        superiors {_comparatives("better")}
    """),
    _class("worse", "worse worsened misses_target", f"""
        worse inferior lag lags lagged lagging trail trails trailed underperform underperformed underperforms
        behind unfavourable unfavorable inferiors {_comparatives("worse")}
    """),
    _class("best", "best", f"""
        best finest foremost top leader leaders champion champions favourite favorite supreme supremely ideal
        optimal optimum unbeaten unmatched unrivalled {_comparatives("better", "est")}
    """),
    _class("worst", "worst", f"worst poorest weakest bottom {_comparatives('worse', 'est')}"),
    _class("highest", "highest", f"""
        maximum maximal maxima max peak peaks peaked record records utmost uppermost topmost biggest
        ultimate unprecedented {_comparatives("more", "est")}
    """),
    _class("lowest", "lowest", f"minimum minimal minima min least trough troughs nadir {_comparatives('less', 'est')}"),
    _class("most", "most highest", """
        most mostly mainly largely predominantly primarily majority predominant overwhelmingly usually bulk chiefly
        principally
    """),
    _class("least", "lowest", "minority rarely seldom"),
    _class("all", "all", """
        all every everything everyone always entirely entire completely complete fully invariably each any
        consistently wholly totally altogether exclusively utterly
    """),
    _class("none", "none", "no none nothing nobody empty emptied empties emptying devoid absence absent"),
    _class("even", "none", "breakeven neutral"),
    _class("norm", "", """
        normal normally typical typically usual unusual unusually abnormal abnormally exceptional exceptionally
        extraordinary extraordinarily atypical
    """),
    _class("twice", "twice more_than_twice", "twice double doubled doubles doubly"),
    _class("half", "half less_than_half", "half halve halves halved"),
    _class("high", "above_target highest", """
        high highly large big huge great vast massive enormous sizeable sizable heavy immense tall deep steep extreme
        extremely expensive giant mighty intense
    """),
    _class("low", "below_target lowest", "low small little tiny minute slim thin scarce cheap cheaply"),
    _class("good", "meets_target best", """
        good strong solid healthy excellent impressive robust successful successfully success favourably
        fine outstanding remarkable superb stellar encouraging satisfactory magnificent marvellous marvelous brilliant
        brilliantly admirable spectacular spectacularly tremendous incredible incredibly splendid splendidly amazing
        amazingly fantastic wonderful wonderfully perfect perfectly flawless superbly
    """),
    _class("bad", "misses_target worst", """
        bad badly poor poorly weak terrible disappointing unhealthy unsatisfactory alarming dismal awful dire worrying
        failure failures abysmal appalling catastrophic disastrous disaster horrible horribly horrendous hideous lousy
        miserable miserably awful awfully brutal severe severely dreadful dreadfully ghastly pathetic unacceptable
        unacceptably devastating inadequate inadequately grim
    """),
    _class("reached", "meets_target", """
        met meet meets meeting reached reaches hit hits attained achieved fulfilled hitting
    """),
    _class("missed", "misses_target", "missed misses miss missing"),
    _class("target", "above_target below_target meets_target misses_target",
           "target targets targeted goal goals objective objectives"),
    _class("significance", "significant not_significant", """
        significant significantly significance insignificant statistically luck lucky chance coincidence distinguishable
        indistinguishable
    """),
)
RELATIONS_OF: Final[dict[str, frozenset[ClaimRelation]]] = {  # comparing word -> relations that it may rest on
    word: frozenset().union(*(one.relations for one in CLASSES if word in one.words))
    for word in frozenset().union(*(one.words for one in CLASSES))
}
TARGET_RELATIONS: Final = next(one.relations for one in CLASSES if one.name == "target")
TARGET_WORDS: Final = next(one.words for one in CLASSES if one.name == "target")
SIGNIFICANCE_WORDS: Final = next(one.words for one in CLASSES if one.name == "significance")
EXTREMES: Final = frozenset({ClaimRelation.BEST, ClaimRelation.WORST, ClaimRelation.HIGHEST, ClaimRelation.LOWEST})
CHANGES: Final = frozenset(
    {ClaimRelation.ROSE, ClaimRelation.FELL, ClaimRelation.UNCHANGED, ClaimRelation.IMPROVED, ClaimRelation.WORSENED}
)
DENIALS: Final = word_set("not no cannot insignificant indistinguishable luck lucky chance coincidence")


def negates(word: str) -> bool:
    """Whether *word* turns what is said into its opposite."""
    return word in NEGATIONS or word.endswith("n't")


# ---- what a figure may be said to be (``amount_rules``) --------------------------------------------------------------
def words_of_classes(*names: str) -> frozenset[str]:
    """The comparing words of the classes with these *names*."""
    return frozenset().union(*(one.words for one in CLASSES if one.name in names))


ARTICLES: Final = word_set("a an the its their this that these those any such some another my our your his her")
CHANGE_NOUNS: Final = word_set("""
    rise rises increase increases growth climb jump jumps surge surges advance upturn uptick leap expansion rebound
    upsurge spike fall falls decrease decreases drop drops decline declines slide slip plunge slump downturn reduction
    reductions crash collapse dip dips contraction cut cuts shrinkage change changes shift shifts difference differences
    swing swings improvement improvements recovery deterioration erosion decay excess lead gap gaps margin margins
    distance deviation deviations variation variations fluctuation fluctuations move moves movement movements boost
    increment increments raise discrepancy discrepancies worsening limit cap ceiling quota budget advantage disadvantage
""")
MEASURES: Final = CHANGE_NOUNS | word_set("""
    above below under over beneath beyond up down ahead behind short off away apart upward upwards downward downwards
    superior inferior better worse more less
""") | frozenset(  # right behind a figure they make a distance of it: "{x} above", "{x} higher"
    word for word in words_of_classes("more", "less", "better", "worse") if word.endswith("er")
)
DIRECT_CHANGES: Final = words_of_classes("rise", "fall", "improvement", "worsening", "change") - RESULT_WORDS
RIGHT_SIDES: Final = words_of_classes("more", "less", "better", "worse", "twice", "half", "same") | {"than"}
UNTRUE: Final = word_set("""
    false falsely untrue wrong wrongly incorrect incorrectly fake faked fakes fictional fiction imaginary imagined lie
    lies lied lying myth myths mistaken mistakenly erroneous bogus pretend pretended pretends pretending deny denied
    denies denying refute refuted refutes refuting doubt doubtful doubtfully contrary contraries opposite opposites
    inverse inversely invert inverted inverting inverts misprint misprinted invented hoax fraud joke untruth disproved
    refund refunded refunds refunding owed owe owes debt debts erase erased wiped undone undo undid invalid invalidated
    nonsense alleged allegation allegations sarcasm sarcastic ironic ironically negate negated negates instead rather
    wish wished imagine imagines hypothetically
""")
DONE_TO_ALL: Final = word_set("""
    made taken executed placed completed recorded finished seen generated produced logged counted registered observed
    traded entered done concluded carried found needed given sent turned noted issued created received reported
    considered processed measured reached
""")  # may be said of every trade, signal or order that a figure counts
RATE_NOUNS: Final = word_set("trade signal day session position order hour minute coin pair symbol mode time")
DIMENSION_WORDS: Final = word_set("mode symbol pair coin regime model gate source day")
OWNERS: Final = word_set("""
    day today yesterday session span period run time system bot account strategy book engine trading trade execution
    pilot sample whole history which it them all both profit result win loss record
""")
