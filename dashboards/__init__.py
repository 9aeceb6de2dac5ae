"""Dashboards to import, as package data."""
