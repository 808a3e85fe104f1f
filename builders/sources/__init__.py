"""Where sources come from: mirrors, fetching, the content-addressed cache, unpacking."""
