"""`reconcile`: what was delivered, against what Marketo holds.

Outcomes pass by once and leave in `expected` what was sent; `reading` asks Marketo who is a member; `verdicts` judges;
`confirm` turns accepted rows of imports into exact outcomes; `fix` sends again what is behind or missing.
"""
