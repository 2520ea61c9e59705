"""What a browser or a tool sees over HTTP: the balancer's statistics."""
