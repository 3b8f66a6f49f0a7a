"""Alertmanager, and what it notifies in the tests: a fake of PagerDuty's endpoint."""
