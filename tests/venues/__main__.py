from tests.venues.cli import main

main()
