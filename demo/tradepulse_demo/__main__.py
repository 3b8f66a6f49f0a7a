"""`python -m tradepulse_demo`."""

from tradepulse_demo.cli import main

main()
