"""A freqtrade strategy that trades often: in every four minutes, out two bars later; BTC long, ETH short."""

from typing import ClassVar

from freqtrade.strategy import IStrategy


class Often(IStrategy):
    """Enter by the clock and leave by the clock; a stop at the exchange protects the position."""

    INTERFACE_VERSION = 3
    timeframe = "1m"
    can_short = True
    process_only_new_candles = True
    startup_candle_count = 10
    minimal_roi: ClassVar = {}
    stoploss = -0.015  # of the margin: half a percent of the price at three times leverage

    def populate_indicators(self, dataframe, metadata):
        """Count minutes."""
        dataframe["minute"] = dataframe["date"].dt.minute
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        """Enter two minutes before the minute can be divided by four, so that a position is open at a funding."""
        way = "enter_short" if metadata["pair"].startswith("ETH") else "enter_long"
        dataframe.loc[dataframe["minute"] % 4 == 2, way] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        """Leave two minutes later."""
        dataframe.loc[dataframe["minute"] % 4 == 0, ["exit_long", "exit_short"]] = 1
        return dataframe

    def leverage(self, **_):
        """Three times."""
        return 3.0
