"""Approved replies -> examples -> dataset -> run -> evaluation -> promotion."""
