"""What was sent before, so that only what changed is sent again (`lead_sync.send: changes`).

`digest` keeps it in a compact database, `prints` makes fingerprints of values, `recall` decides for each record, and
`rebuild` makes the database anew from outcome files. No email, name or field value is kept.
"""
