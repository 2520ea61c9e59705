"""The balancer's numbers in HAProxy's shapes: CSV, typed lines, JSON, Prometheus's text."""
