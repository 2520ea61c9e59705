"""Several nodes, one truth: catalog, links between nodes, mirroring, placement, coordinator."""
