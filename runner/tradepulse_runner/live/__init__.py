"""The live loop and its parts: everything that runs while the runner trades."""
