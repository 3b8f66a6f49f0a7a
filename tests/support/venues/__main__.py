from tests.support.venues.cli import main

main()
