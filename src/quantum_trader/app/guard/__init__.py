"""The guard of other bots: one policy per bot, asked over HTTP or held against a freqtrade from outside."""
