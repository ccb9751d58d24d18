"""What segengine keeps: Delta tables in the project's warehouse, and the one row whose change publishes."""
