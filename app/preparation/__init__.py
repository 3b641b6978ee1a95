"""What `nod prepare` says and asks."""
