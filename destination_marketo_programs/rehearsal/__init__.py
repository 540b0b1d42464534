"""What a delivery would meet, without doing it: the same delivery, over writers that only look.

`rehearsal` puts those writers together, for the `plan` command and for `delivery.dry_run`. Every decision on the way
is that of a write; what Marketo would answer is worked out from what it shows (`leads`, `members`, `values`) and from
what this run would have changed already (`overlay`).
"""
