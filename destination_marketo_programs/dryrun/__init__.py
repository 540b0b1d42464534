"""What a sync would meet, without doing it: the same delivery, over a Marketo that only reads.

`run` puts it together, for the `plan` command and for `delivery.dry_run`. Every decision on the way is that of a sync;
what Marketo would answer is worked out from what it shows (`marketo`, `values`) and from what this run would have
changed already (`overlay`).
"""
