"""Root causes behind the drivers, with the calls that show them."""
