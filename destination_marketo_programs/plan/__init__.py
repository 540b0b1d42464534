"""The `plan` command: what a write would do, record by record and in sum, by a delivery whose writers only look."""
