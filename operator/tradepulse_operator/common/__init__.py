"""What every room uses: names, times, references."""
