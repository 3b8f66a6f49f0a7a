"""TradePulse runner: one process that trades at one or more venues and never loses an order.

Entry points: :class:`tradepulse_runner.loop.LiveExecutionLoop` for embedding,
``tradepulse-runner`` (:mod:`tradepulse_runner.cli`) for the command line.
"""
