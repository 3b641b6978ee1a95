"""The commands, one noun a file; each adds itself to the `nod` command."""
