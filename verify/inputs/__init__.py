"""What a verdict can be about: files, folders, archives and images, all of them hostile until they were looked at."""
