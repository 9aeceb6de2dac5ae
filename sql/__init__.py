"""Statements for the databases: stored procedures."""
