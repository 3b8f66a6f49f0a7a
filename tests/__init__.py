"""Tests by kind, a folder each; `support` is what they share, `support_tests` what tests that."""
