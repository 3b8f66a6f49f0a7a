"""`python -m tradepulse_runner`."""

from tradepulse_runner.cli.main import main

main()
