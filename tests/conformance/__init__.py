"""The original bus and ours, held to the same promises; the original in an environment of its own."""
