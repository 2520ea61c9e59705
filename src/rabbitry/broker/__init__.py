"""What queues and exchanges do, for one node and without clustering: pure, no frames below `channel`."""
