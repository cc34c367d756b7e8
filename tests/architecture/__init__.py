"""The house rules as code: each one a test, and each test seen to fail on a small tree of its own."""
