"""Names of the formats in which a model's intervals are written, for flags: imports nothing."""

FORMS = ("csv", "elan", "label-studio")
