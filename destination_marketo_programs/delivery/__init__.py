"""From mapped records to memberships, outcomes and acknowledged STATEs: queues, calls in parallel, ledger."""
