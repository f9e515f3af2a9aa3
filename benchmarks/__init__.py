"""What is measured. Run from the project's folder; in no wheel."""
