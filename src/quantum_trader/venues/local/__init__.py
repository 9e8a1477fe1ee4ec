"""The local venue: Binance USD-M's own REST and WebSocket protocol over the paper exchange and a recording."""
