"""Rejected records sent again, as they are or with the cells that somebody corrected in a spreadsheet."""
