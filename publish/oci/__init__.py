"""Images as OCI lays them down."""
