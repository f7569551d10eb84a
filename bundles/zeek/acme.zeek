# Scripts of the tenant acme.
