"""`python -m tradepulse_runner`."""

from tradepulse_runner.cli import main

main()
