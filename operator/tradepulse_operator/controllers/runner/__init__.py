"""The TradingRunner's reconciler."""
