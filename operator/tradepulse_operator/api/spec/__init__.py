"""The parts of a TradingRunner's spec."""
