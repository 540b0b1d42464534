"""Data activation: the objects that Airbyte offers to write to, and the records that carry their fields.

`discover` prints the objects. A configured stream that names one of them is checked by `refusals` before the first
record, and its records are read by `mapper_for`.
"""
