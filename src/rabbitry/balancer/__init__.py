"""The balancer: HAProxy's language, health, round robin, relay and statistics. All pure."""
