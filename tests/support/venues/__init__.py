"""Venues to trade against without a network: the exchange proper and the servers in front of it."""
