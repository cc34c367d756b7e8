"""The river end to end: real processes, a real OTLP receiver, a real Jaeger."""
