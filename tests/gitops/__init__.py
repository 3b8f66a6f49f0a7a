"""Under a real Argo CD that prunes and heals itself; opt-in, as it takes minutes to compile."""
