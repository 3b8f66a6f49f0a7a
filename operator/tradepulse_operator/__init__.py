"""TradePulse operator: moves releases of live trading runners on evidence, one writer at a time."""
