"""The admin surface: kill switch, state, positions and orders for people, over HTTPS.

Optional and off unless configured. It answers from memory and from the state directory alone, so
nothing that is down elsewhere stands between a person and the kill switch.
"""
