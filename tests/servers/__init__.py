"""Real servers for the tests: Jaeger, Prometheus and the OpenTelemetry Collector.

A test that shows a span in a real Jaeger proves more than one that reads our own
bytes back. The servers are had without asking much of a machine: see `jaeger_ways`
for the order of ways, `build` for binaries made from Go modules, and
`python -m tests.servers --help` for the command line.
"""
