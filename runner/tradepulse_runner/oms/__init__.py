"""Order management of one venue: a pure state machine, its journal, its snapshots."""
