"""What trainers make of a mix: schedules, orders, configurations."""
