"""TradePulse runner: one process that trades at one or more venues and never loses an order.

Entry points: :class:`tradepulse_runner.live.loop.LiveExecutionLoop` for embedding,
``tradepulse-runner`` (:mod:`tradepulse_runner.cli.main`) for the command line.
"""
