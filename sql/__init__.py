"""Statements for the databases: stored procedures, and the raw store's tables for whoever makes them."""
