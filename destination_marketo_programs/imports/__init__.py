"""Bulk import beside REST: which records take it, where they wait, and what happened to each row."""
