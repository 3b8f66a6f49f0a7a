"""Coinbase Advanced Trade (spot): REST and two streams.

Sources: docs.cdp.coinbase.com (Advanced Trade API), ``coinbase/coinbase-advanced-py``.
"""
