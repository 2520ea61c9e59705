"""What queues and exchanges do, for one node, without clustering; no frames below `channel`."""
