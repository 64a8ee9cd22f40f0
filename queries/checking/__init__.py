"""What is done to an answer before anybody sees it: citations held to their sources, addresses and markup made harmless."""
