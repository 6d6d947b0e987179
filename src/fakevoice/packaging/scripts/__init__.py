"""Files that are copied into a package (`script`) or into the environment of its check (`probe`, `no_network`)."""
