"""One AMQP connection, either role, without sockets."""
