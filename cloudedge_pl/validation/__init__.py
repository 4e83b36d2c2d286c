"""Simulator against reality: real servers over slow links, and the event engine on what was measured of their parts."""
