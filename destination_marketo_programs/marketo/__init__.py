"""Marketo's REST API as far as program members need it. Knows nothing of Airbyte or of this connector's settings."""
