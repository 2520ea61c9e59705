"""The engine behind ``make bench``: the same load against Rabbitry and against RabbitMQ.

Not part of the installed package. It owns its own few lines of AMQP encoding on purpose: what
measures the broker must not share the broker's code.
"""
