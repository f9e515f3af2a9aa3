"""What a campaign earned: those it was planned for, against those who were held out by lot."""
