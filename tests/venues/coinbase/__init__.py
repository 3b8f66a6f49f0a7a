"""Coinbase Advanced Trade, offline."""
