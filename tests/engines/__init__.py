"""Adapters to engines, tested with what the engines really said."""
