"""The admin API: kill switch, state, positions and orders over HTTPS.

Optional and off unless configured. It depends only on memory and the state directory, so no outage
elsewhere keeps a person from the kill switch.
"""
