"""Bulk import beside REST: which records take it, where they wait, and what became of each row."""
