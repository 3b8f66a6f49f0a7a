"""Every image that the end-to-end suite runs: built here, loaded into the node, none pulled."""
