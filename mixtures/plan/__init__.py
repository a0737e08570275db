"""What a recipe will take and cost, before anything is read."""
