"""OpenBao: a secrets server, and the agent that writes its secrets into files."""
