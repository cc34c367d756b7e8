"""The failure matrix's rows of transport and export, each against a real receiver or a broken network."""
