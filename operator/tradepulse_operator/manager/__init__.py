"""The process: events, queue, loop."""
