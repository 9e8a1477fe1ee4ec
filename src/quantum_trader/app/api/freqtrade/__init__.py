"""The REST shape of freqtrade: its clients (freqtrade-client, FreqUI) read and control a run of this program."""
