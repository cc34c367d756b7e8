"""The failure matrix: every fault we know of, what must happen, and the test that shows it."""
