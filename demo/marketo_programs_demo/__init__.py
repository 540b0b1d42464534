"""Sample Mobly leads, and the commands that show them becoming Program Members."""
